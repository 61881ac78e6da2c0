// Which paths are Plaid's. A path of Plaid's that the sandbox does not model must be told apart from one that does
// not exist at all: for the first nothing true can be answered, for the second Plaid's own 404 can.

const areas = new Set(
  (
    "accounts application asset_report auth bank_transfer beacon beta business_verification cashflow_report categories consent " +
    "consumer_report cra credit dashboard_user employers employment fdx identity identity_verification income institutions " +
    "investments issues item liabilities link link_delivery network network_insights oauth partner " +
    "payment_initiation payment_profile processor profile protect sandbox session signal statements transactions " +
    "transfer user user_account wallet watchlist_screening webhook_verification_key"
  ).split(" "),
);

/** Whether the first segment of a path is one of Plaid's products, and something follows it. */
export function isPlaidPath(path: string): boolean {
  const end = path.indexOf("/", 1);
  return end > 0 && end < path.length - 1 && areas.has(path.slice(1, end));
}
