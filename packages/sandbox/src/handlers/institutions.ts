// Institutions by their id.

import type * as endpoints from "sett/endpoints";
import { findInstitution } from "../institutions.ts";
import { Refusal } from "../refusals.ts";
import { checkCountryCodes } from "./link.ts";
import type { Handler } from "./handler.ts";

export const institutionsGetById: Handler<typeof endpoints.institutionsGetById> = ({
  institution_id,
  country_codes,
  options,
}) => {
  checkCountryCodes(country_codes);
  const found = findInstitution(institution_id);
  if (!found || !found.country_codes.some((code) => country_codes.includes(code)))
    throw new Refusal("INVALID_INSTITUTION");
  const { name, oauth, products, routing_numbers } = found;
  return {
    institution: {
      country_codes: [...found.country_codes],
      institution_id,
      name,
      oauth,
      products: [...products],
      routing_numbers: [...routing_numbers],
      ...(options?.include_optional_metadata && {
        logo: null,
        primary_color: "#004966",
        url: "https://plaid.com",
      }),
      // Plaid's Sandbox has no status of institutions.
      ...(options?.include_status && { status: null }),
      ...(options?.include_auth_metadata && {
        auth_metadata: products.includes("auth")
          ? {
              supported_methods: {
                automated_micro_deposits: found.microdeposits === true,
                instant_auth: found.microdeposits !== true,
                instant_match: found.microdeposits === true,
                instant_micro_deposits: institution_id === "ins_135858",
              },
            }
          : null,
      }),
      ...(options?.include_payment_initiation_metadata && { payment_initiation_metadata: null }),
    },
  };
};
