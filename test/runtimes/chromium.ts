// Hides how the suite is run in a browser: a page on a port of its own, so that the server under test is
// another origin to it and its CORS answers count, opened in headless Chromium.

import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { chromiumEnv, program } from "./install.ts";
import { readOutcomes, type Job, type Report } from "./suite.ts";

// What is used of playwright-core, said here so that the repository type-checks without its being installed.
interface Page {
  on(event: "console", listener: (message: { type(): string; text(): string }) => void): void;
  on(event: "pageerror", listener: (error: Error) => void): void;
  goto(url: string): Promise<unknown>;
  evaluate(expression: string): Promise<unknown>;
}
interface Browser {
  version(): string;
  newPage(): Promise<Page>;
  close(): Promise<void>;
}
interface Playwright {
  chromium: { launch(options: Record<string, unknown>): Promise<Browser> };
}

export async function runChromium(job: Job): Promise<Report> {
  const executablePath = program("chromium");
  const { chromium } = (await import("playwright-core" as string)) as Playwright;
  const suite = await readFile(join(job.folder, "suite.mjs"));
  const server = createServer((request, response) => {
    const script = request.url === "/suite.mjs";
    response.setHeader("content-type", script ? "text/javascript" : "text/html");
    response.end(script ? suite : "<!doctype html><title>suite</title>");
  });
  await once(server.listen(0, "127.0.0.1"), "listening");
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  let browser: Browser | undefined;
  try {
    browser = await chromium.launch({
      executablePath,
      env: { ...chromiumEnv, HOME: job.folder },
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic"],
      timeout: 30_000,
      // The signals are the caller's to handle; on the abort that follows the browser is closed below.
      handleSIGINT: false,
      handleSIGTERM: false,
      handleSIGHUP: false,
    });
    const { outcomes, log } = await Promise.race([runPage(browser, origin, job), aborted(job.signal)]);
    return { version: browser.version(), outcomes, log };
  } finally {
    await browser?.close();
    server.close();
    server.closeAllConnections();
  }
}

async function runPage(browser: Browser, origin: string, job: Job): Promise<Omit<Report, "version">> {
  const page = await browser.newPage();
  let log = "";
  const uncaught: Error[] = [];
  // A page is told only "Failed to fetch"; why is to be read in its console alone.
  page.on("console", (message) => (log += `${message.type()}: ${message.text()}\n`));
  page.on("pageerror", (error) => uncaught.push(error));
  await page.goto(origin);
  const expression = `import("/suite.mjs").then((bundle) => bundle.default(${JSON.stringify(job.env)}))`;
  const outcomes = readOutcomes(await page.evaluate(expression));
  const [first] = uncaught;
  if (first) throw new Error(`an error that nobody caught: ${first.stack ?? first.message}`);
  return { outcomes, log };
}

async function aborted(signal: AbortSignal): Promise<never> {
  if (!signal.aborted) await once(signal, "abort");
  throw signal.reason;
}
