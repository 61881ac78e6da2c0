// What counts as a URL for webhooks.

import { longestUrl } from "../lifecycle/texts.ts";

export const isWebUrl = (text: string): boolean =>
  text.length <= longestUrl && URL.canParse(text) && /^https?:$/.test(new URL(text).protocol);
