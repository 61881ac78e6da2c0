// The same functions with the configuration given once, for those who like plaid.item.get(token).

import * as Accounts from "./accounts.ts";
import { call, type Config } from "./call.ts";
import * as Institution from "./institution.ts";
import * as Item from "./item.ts";
import * as Link from "./link.ts";
import * as Sandbox from "./sandbox.ts";
import * as Webhook from "./webhook.ts";
import type { CountryCode, LinkTokenCreateRequest, Products } from "./wire.ts";

/** All calls of sett for one configuration. */
export const bind = (config: Config) => ({
  item: {
    exchangePublicToken: (publicToken: string) => Item.exchangePublicToken(publicToken, config),
    get: (accessToken: string) => Item.get(accessToken, config),
    invalidateAccessToken: (accessToken: string) => Item.invalidateAccessToken(accessToken, config),
    remove: (accessToken: string, reason?: Item.RemoveReason) => Item.remove(accessToken, config, reason),
    updateWebhook: (accessToken: string, webhook: string | null) =>
      Item.updateWebhook(accessToken, webhook, config),
  },
  link: {
    createToken: (request: LinkTokenCreateRequest) => Link.createToken(request, config),
    getToken: (linkToken: string) => Link.getToken(linkToken, config),
  },
  accounts: {
    get: (accessToken: string, accountIds?: string[]) => Accounts.get(accessToken, config, accountIds),
  },
  institution: {
    getById: (institutionId: string, countryCodes: CountryCode[], options?: Institution.Options) =>
      Institution.getById(institutionId, countryCodes, config, options),
  },
  webhook: {
    getVerificationKey: (keyId: string) => Webhook.getVerificationKey(keyId, config),
  },
  sandbox: {
    createPublicToken: (
      institutionId: string,
      initialProducts: Products[],
      options?: Sandbox.PublicTokenOptions,
    ) => Sandbox.createPublicToken(institutionId, initialProducts, config, options),
    resetLogin: (accessToken: string) => Sandbox.resetLogin(accessToken, config),
    fireWebhook: (accessToken: string, code: Sandbox.FiredCode, type?: Sandbox.FiredType) =>
      Sandbox.fireWebhook(accessToken, code, config, type),
    setVerificationStatus: (accessToken: string, accountId: string, status: Sandbox.VerificationStatus) =>
      Sandbox.setVerificationStatus(accessToken, accountId, status, config),
  },
  call: (path: string, request: object) => call(path, request, config),
});
