// The programs that are weighed: each gets one Item and does nothing else.

const credentials = `clientId: "5f0c2a1b9d3e4f0012ab34cd", secret: "0123456789abcdef0123456789abcd"`;

export const programs = {
  "a bare fetch": `
const answer = await fetch("https://sandbox.plaid.com/item/get", {
  method: "POST",
  headers: { "Content-Type": "application/json", "Plaid-Version": "2020-09-14" },
  body: JSON.stringify({
    client_id: "5f0c2a1b9d3e4f0012ab34cd",
    secret: "0123456789abcdef0123456789abcd",
    access_token: "access-sandbox-0",
  }),
});
console.log(await answer.json());`,
  'sett, import * as Item from "sett/item"': `
import * as Item from "sett/item";
console.log(await Item.get("access-sandbox-0", { ${credentials} }));`,
  'sett, import { Item } from "sett"': `
import { Item } from "sett";
console.log(await Item.get("access-sandbox-0", { ${credentials} }));`,
  "plaid 47.0.0 (official)": `
import { Configuration, PlaidApi, PlaidEnvironments } from "plaid";
const headers = {
  "PLAID-CLIENT-ID": "5f0c2a1b9d3e4f0012ab34cd",
  "PLAID-SECRET": "0123456789abcdef0123456789abcd",
};
const plaid = new PlaidApi(new Configuration({ basePath: PlaidEnvironments.sandbox, baseOptions: { headers } }));
console.log((await plaid.itemGet({ access_token: "access-sandbox-0" })).data);`,
} as const;

/** What a program that only loads a package says. */
export const imports = {
  "bare node": "",
  'sett, import "sett/item"': `import "sett/item";`,
  'sett, import "sett"': `import "sett";`,
  "plaid 47.0.0 (official)": `import "plaid";`,
} as const;
