// The institutions of Plaid's Sandbox that this sandbox knows, and the accounts that a user has there.

import type { AccountBase, CountryCode } from "sett";
import { invalidField, object, orNull, shape, text, words } from "sett/kinds";
import type { FieldsOf } from "sett/kinds";

/** An institution, as far as Items need it. */
export interface Institution {
  readonly institution_id: string;
  readonly name: string;
  readonly country_codes: readonly CountryCode[];
  /** Shown as `products` and, unless billed, as an Item's `available_products`. */
  readonly products: readonly string[];
  readonly oauth: boolean;
  readonly routing_numbers: readonly string[];
  /** Refuses every new Item with this code; what Plaid's Sandbox does there is not verified. */
  readonly refuses?: "INSTITUTION_DOWN" | "INSTITUTION_NO_LONGER_SUPPORTED";
  /** Auth comes by automated micro-deposits, and has to be verified. */
  readonly microdeposits?: true;
}

/** Billed and available products together of the Item of First Platypus Bank that was recorded in 2025. */
const american =
  "assets auth balance credit_details identity identity_match income income_verification investments liabilities recurring_transactions signal statements transactions".split(
    " ",
  );
const canadian = "assets auth balance identity investments liabilities transactions".split(" ");
const british = "assets auth balance identity payment_initiation standing_orders transactions".split(" ");

/** Accepted for a new Item everywhere in the United States, though Plaid does not list them as available. */
const unlisted = new Set(
  "cra_base_report cra_income_insights cra_lend_score cra_monitoring cra_partner_insights investments_auth transfer".split(
    " ",
  ),
);

type Extra = Partial<Pick<Institution, "oauth" | "refuses" | "microdeposits">>;
const row = (id: number, name: string, country: CountryCode, products: string[], extra: Extra = {}) =>
  [
    `ins_${id}`,
    {
      institution_id: `ins_${id}`,
      name,
      country_codes: [country],
      products,
      oauth: false,
      routing_numbers: country === "US" ? ["011000015"] : [],
      ...extra,
    },
  ] as const;

const institutions: ReadonlyMap<string, Institution> = new Map<string, Institution>([
  row(109508, "First Platypus Bank", "US", american),
  row(130016, "First Platypus Balance Bank", "US", american),
  row(109509, "First Gingham Credit Union", "US", american),
  row(109510, "Tattersall Federal Credit Union", "US", american),
  row(109511, "Tartan Bank", "US", american),
  row(109512, "Houndstooth Bank", "US", american, { microdeposits: true }),
  row(43, "Tartan-Dominion Bank of Canada", "CA", canadian),
  row(116834, "Flexible Platypus Open Banking", "GB", british, { oauth: true }),
  row(117650, "Royal Bank of Plaid", "GB", british),
  row(127287, "Platypus OAuth Bank", "US", american, { oauth: true }),
  row(132241, "First Platypus OAuth App2App Bank", "US", american, { oauth: true }),
  row(117181, "Flexible Platypus Open Banking (OAuth QR)", "GB", british, { oauth: true }),
  row(135858, "Windowpane Bank", "US", american),
  row(132363, "Unhealthy Platypus Bank - Degraded", "US", american),
  row(132361, "Unhealthy Platypus Bank - Down", "US", american, { refuses: "INSTITUTION_DOWN" }),
  row(133402, "Unsupported Platypus Bank", "US", american, { refuses: "INSTITUTION_NO_LONGER_SUPPORTED" }),
  row(133502, "Platypus Bank RUX Auth", "US", american),
  row(133503, "Platypus Bank RUX Match", "US", american),
]);

/** The institution of an id, if the sandbox knows it. */
export const findInstitution = (id: string): Institution | undefined => institutions.get(id);

/** Every institution there is. */
export const allInstitutions = (): readonly Institution[] => [...institutions.values()];

/** Of the products asked for, those with which no Item can begin here. `balance` comes with every Item by itself. */
export const unsupportedProducts = (institution: Institution, products: readonly string[]) =>
  products.filter(
    (product) =>
      product === "balance" ||
      !(
        institution.products.includes(product) ||
        (institution.country_codes[0] === "US" && unlisted.has(product))
      ),
  );

/** Whether consent ends there by law; after about 180 days, in the United Kingdom and the European Union. */
export const consentEnds = ({ country_codes }: Institution) =>
  !country_codes.some((country) => country === "US" || country === "CA");

const currencies: Partial<Record<CountryCode, string>> = { US: "USD", CA: "CAD", GB: "GBP" };
const currencyOf = ({ country_codes }: Institution) => currencies[country_codes[0]!] ?? "EUR";

/** What the user of `user_custom` writes into the password, as far as it is modelled. */
export interface CustomAccount {
  readonly type?: string;
  readonly subtype?: string | null;
  readonly starting_balance?: number;
  readonly currency?: string;
  readonly meta?: { readonly name?: string; readonly official_name?: string; readonly mask?: string };
}

const number = { expected: "a number", accepts: Number.isFinite };
const customFields: FieldsOf<CustomAccount> = {
  "type?": text,
  "subtype?": orNull(words),
  "starting_balance?": number,
  "currency?": words,
  "meta?": shape({ "name?": words, "official_name?": orNull(words), "mask?": words }),
};
/** Whether it is such a description: what it holds would otherwise stand in answers of Plaid's. */
export const isCustomAccount = (given: unknown): given is CustomAccount =>
  object.accepts(given) && invalidField(customFields, given as object) === undefined;

/** The accounts of a new Item: always the same ones, but for their ids. */
export function accountsAt(
  institution: Institution,
  custom: readonly CustomAccount[],
  newId: () => string,
): AccountBase[] {
  const currency = currencyOf(institution);
  if (custom.length > 0) {
    return custom.map((given, index) =>
      account(newId(), {
        name: given.meta?.name || `Custom Account ${index + 1}`,
        official_name: given.meta?.official_name || null,
        mask: given.meta?.mask || `${1000 + index}`,
        type: given.type ?? "depository",
        subtype: given.subtype ?? null,
        current: given.starting_balance ?? 0,
        available: given.starting_balance ?? 0,
        currency: given.currency || currency,
      }),
    );
  }
  return standardAccounts.map((each) => account(newId(), { ...each, currency }));
}

/** One more account at the bank, for NEW_ACCOUNTS_AVAILABLE. */
export const newAccountAt = (institution: Institution, newId: () => string): AccountBase =>
  account(newId(), {
    name: "Plaid Money Market",
    official_name: "Plaid Platinum Standard 1.85% Interest Money Market",
    mask: "4444",
    type: "depository",
    subtype: "money market",
    available: 43_200,
    current: 43_200,
    currency: currencyOf(institution),
  });

interface Facts {
  readonly name: string;
  readonly official_name: string | null;
  readonly mask: string;
  readonly type: string;
  readonly subtype: string | null;
  readonly available: number | null;
  readonly current: number;
  readonly limit?: number | null;
  readonly currency: string;
}

const account = (
  account_id: string,
  { available, current, limit = null, currency, ...facts }: Facts,
): AccountBase => ({
  account_id,
  balances: { available, current, iso_currency_code: currency, limit, unofficial_currency_code: null },
  holder_category: "personal",
  ...facts,
});

const standardAccounts: readonly Omit<Facts, "currency">[] = [
  {
    name: "Plaid Checking",
    official_name: "Plaid Gold Standard 0% Interest Checking",
    mask: "0000",
    type: "depository",
    subtype: "checking",
    available: 100,
    current: 110,
  },
  {
    name: "Plaid Saving",
    official_name: "Plaid Silver Standard 0.1% Interest Saving",
    mask: "1111",
    type: "depository",
    subtype: "savings",
    available: 200,
    current: 210,
  },
  {
    name: "Plaid Credit Card",
    official_name: "Plaid Diamond 12.5% APR Interest Credit Card",
    mask: "3333",
    type: "credit",
    subtype: "credit card",
    available: null,
    current: 410,
    limit: 2_000,
  },
  {
    name: "Plaid 401k",
    official_name: null,
    mask: "6666",
    type: "investment",
    subtype: "401k",
    available: null,
    current: 23_631.9805,
  },
  {
    name: "Plaid Student Loan",
    official_name: null,
    mask: "7777",
    type: "loan",
    subtype: "student",
    available: null,
    current: 65_262,
  },
];
