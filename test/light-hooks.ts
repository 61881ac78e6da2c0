// Loaded before node:test, which follows every promise to know whose a stray exception is: that would be a third of the
// work of most test files. Here it follows all but promises: then such an exception may fail its file, and no test of it,
// and is printed.

import asyncHooks from "node:async_hooks";

const { createHook } = asyncHooks;
asyncHooks.createHook = (callbacks) => createHook({ ...callbacks, trackPromises: false });

process.on("uncaughtExceptionMonitor", (error) => console.error(error));
process.on("unhandledRejection", (reason) => console.error(reason));
