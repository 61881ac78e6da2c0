// The keys that webhooks are signed with: made when first needed, replaced and expired on demand. Beside them stands
// the one key that Plaid's real Sandbox has served since 2019, whose private half only Plaid has.

import type { SigningKey } from "sett/webhook";
import type { Clock } from "./clock.ts";
import type { KeyRecord, World } from "./world.ts";

/** What /webhook_verification_key/get of Plaid's Sandbox answers, as recorded. It never signs anything here. */
const plaidsOwnKey: KeyRecord = {
  kid: "6c5516e1-92dc-479e-a8ff-5a51992e0001",
  x: "35lvC8uz2QrWpQJ3TUH8t9o9DURMp7ydU518RKDl20k",
  y: "I8BuXB2bvxelzJAd7OKhd-ZwjCst05Fx47Mb_0ugros",
  created_at: 1_560_466_143,
  expired_at: null,
};

export type Keys = ReturnType<typeof createKeys>;

const curve = { name: "ECDSA", namedCurve: "P-256" };

export function createKeys(world: World, clock: Clock) {
  const imported = new Map<string, CryptoKey>();
  let making: Promise<KeyRecord> | undefined;
  const seconds = () => Math.floor(clock.now() / 1000);

  const make = async () => {
    const epoch = world.epoch;
    const pair = await crypto.subtle.generateKey(curve, true, ["sign", "verify"]);
    const { x, y, d } = await crypto.subtle.exportKey("jwk", pair.privateKey);
    // Beside the seeded stream: how long a key takes to make must not decide which tokens and ids come next.
    const kid = crypto.randomUUID();
    const key = { kid, x: x!, y: y!, d: d!, created_at: seconds(), expired_at: null };
    if (world.epoch === epoch) {
      world.put("keys", key.kid, key);
      world.commit();
    }
    imported.set(key.kid, pair.privateKey);
    return key;
  };
  const usable = () => [...world.all("keys")].filter((key) => key.d !== undefined && key.expired_at === null);
  const inUse = () => usable().at(-1);
  const end = (key: KeyRecord) => {
    world.put("keys", key.kid, { ...key, expired_at: seconds() });
    world.commit();
  };

  return {
    find: (kid: string) => world.get("keys", kid) ?? (kid === plaidsOwnKey.kid ? plaidsOwnKey : undefined),
    /** The key in use, made now if there is none. */
    async signer(): Promise<SigningKey> {
      const key = inUse() ?? (await (making ??= make().finally(() => (making = undefined))));
      let privateKey = imported.get(key.kid);
      if (!privateKey) {
        const { x, y, d } = key;
        const jwk = { kty: "EC", crv: "P-256", x, y, d: d! };
        privateKey = await crypto.subtle.importKey("jwk", jwk, curve, false, ["sign"]);
        imported.set(key.kid, privateKey);
      }
      return { kid: key.kid, privateKey };
    },
    /** A new key signs from now on; the one before it expires, unless told to stay valid. */
    async rotate({ keepOld = false } = {}) {
      const key = await make();
      // Looked for only now: another rotation may have come in between.
      const all = usable();
      const old = all[all.findIndex(({ kid }) => kid === key.kid) - 1];
      if (old && !keepOld) end(old);
      return key;
    },
    /** Ends a key now, unless it has ended already. False when there is no such key. */
    expire(kid: string) {
      const key = this.find(kid);
      if (key?.expired_at === null) end(key);
      return key !== undefined;
    },
  };
}
