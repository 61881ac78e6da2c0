// What Plaid answers to /item/get, in Plaid's own style: keys in alphabetical order, two spaces of indentation. All
// servers of the bench answer with it, so that none has less to send and no client less to read.

export const itemId = "gVM8b7wWA5FEVkjVom3ri7oRXGG4mPIgNNrBy";
export const accessToken = "access-sandbox-de3ce8ef-33f8-452c-a685-8671031fc0f6";
export const credentials = { clientId: "5f0c2a1b9d3e4f0012ab34cd", secret: "0123456789abcdef0123456789abcd" };

export const itemGetAnswer = {
  item: {
    available_products: ["assets", "balance", "identity", "income", "investments", "liabilities"],
    billed_products: ["auth", "transactions"],
    consent_expiration_time: null,
    created_at: "2025-05-19T17:24:00Z",
    error: null,
    institution_id: "ins_109508",
    institution_name: "First Platypus Bank",
    item_id: itemId,
    products: ["auth", "transactions"],
    update_type: "background",
    webhook: "https://example.com/plaid/webhook",
  },
  request_id: "m8MDnv9okwxFNBV",
  status: {
    last_webhook: { code_sent: "INITIAL_UPDATE", sent_at: "2025-05-19T17:24:03.53Z" },
    transactions: { last_failed_update: null, last_successful_update: "2025-05-19T17:24:01.861Z" },
  },
};
