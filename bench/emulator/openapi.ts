// The OpenAPI document that Prism mocks: the endpoints the bench calls, with the recorded answer as the example, so
// that Prism sends the same body as the others. Its validation of requests stays on, as a user would have it.

import { itemGetAnswer } from "../recorded.ts";

const textOf = (...names: string[]) => ({
  type: "object",
  required: names,
  properties: Object.fromEntries(names.map((name) => [name, { type: "string" }])),
});

const endpoint = (operationId: string, request: object, example: object) => ({
  post: {
    operationId,
    parameters: ["PLAID-CLIENT-ID", "PLAID-SECRET"].map((name) => ({
      name,
      in: "header",
      required: true,
      schema: { type: "string" },
    })),
    requestBody: { required: true, content: { "application/json": { schema: request } } },
    responses: {
      200: {
        description: "OK",
        content: { "application/json": { schema: { type: "object" }, example } },
      },
    },
  },
});

export const openapi = {
  openapi: "3.0.3",
  info: { title: "Plaid around an Item", version: "2020-09-14" },
  paths: {
    "/item/get": endpoint("itemGet", textOf("access_token"), itemGetAnswer),
    "/item/public_token/exchange": endpoint("itemPublicTokenExchange", textOf("public_token"), {
      access_token: "access-sandbox-de3ce8ef-33f8-452c-a685-8671031fc0f6",
      item_id: itemGetAnswer.item.item_id,
      request_id: itemGetAnswer.request_id,
    }),
    "/sandbox/public_token/create": endpoint(
      "sandboxPublicTokenCreate",
      {
        type: "object",
        required: ["institution_id", "initial_products"],
        properties: {
          institution_id: { type: "string" },
          initial_products: { type: "array", items: { type: "string" } },
        },
      },
      {
        public_token: "public-sandbox-5c224a01-8314-4491-a06f-39e193d5cddc",
        request_id: itemGetAnswer.request_id,
      },
    ),
  },
};
