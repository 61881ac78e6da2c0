// A transport for processes that live for one call. To load `fetch` takes such a process as long as everything else that it
// does, and so does an import of node:http, whose names include parts of `fetch`: hence the look-up of that module.

import type { Post } from "sett";

const { request } = process.getBuiltinModule("node:http");

export const lightPost: Post = (url, body, headers, signal) =>
  new Promise((resolve, reject) => {
    const asked = request(url, { method: "POST", headers, signal }, (answer) => {
      let text = "";
      answer.setEncoding("utf8").on("data", (part: string) => (text += part));
      answer.on("error", reject).on("end", () => {
        const get = (name: string) => answer.headers[name]?.toString();
        resolve({ status: answer.statusCode!, headers: { get }, body: text });
      });
    });
    asked.on("error", reject).end(body);
  });
