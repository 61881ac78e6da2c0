// Institutions: the banks behind Items.

import { callEndpoint, type Config } from "./call.ts";
import { institutionsGetById } from "./endpoints.ts";
import type { CountryCode, InstitutionsGetByIdRequest } from "./wire.ts";

// A namespace hides the type of its own name.
export type { Institution } from "./wire.ts";

/** What more to tell of an institution; each false unless asked for. */
export type Options = NonNullable<InstitutionsGetByIdRequest["options"]>;

/**
 * Gets the name, products and, where asked for, the logo of an institution.
 * @see https://plaid.com/docs/api/institutions/#institutionsget_by_id
 */
export const getById = (
  institutionId: string,
  countryCodes: CountryCode[],
  config: Config,
  options?: Options,
) =>
  callEndpoint(
    institutionsGetById,
    { institution_id: institutionId, country_codes: countryCodes, ...(options && { options }) },
    config,
  );
