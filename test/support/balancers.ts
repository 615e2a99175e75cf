import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { atEnd } from "./at-end.ts";
import { answers, freePort } from "./ports.ts";
import { program } from "./programs.ts";
import type { Site } from "./router.ts";

/** Where a recipe's addresses are here. */
export interface Places {
  /** The router's one port. */
  readonly router: number;
  /** Its plain listener for connection upgrades. */
  readonly connect: number;
  readonly admin: number;
}

export interface Balancer {
  readonly port: number;
  stop(): void;
}

/** The block in that language below a heading of the guide. */
export function recipe(heading: string, language: string): string {
  const text = readFileSync("docs/load-balancers.md", "utf8");
  const at = text.indexOf(`${heading}\n`);
  const block = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(at < 0 ? "" : text.slice(at))?.[1];
  if (block === undefined) throw new Error(`the guide has no ${language} below ${heading}`);
  return block;
}

/** The guide's addresses and paths, as they are in the test. */
function placed(text: string, site: Site, places: Places): string {
  writeFileSync(
    `${site.folder}/server.pem`,
    readFileSync(`${site.folder}/server.crt`, "utf8") + readFileSync(`${site.folder}/server.key`, "utf8"),
  );
  return text
    .replaceAll("10.0.0.5:8443", `127.0.0.1:${places.router}`)
    .replaceAll("10.0.0.5:8081", `127.0.0.1:${places.connect}`)
    .replaceAll("check port 8080", `check port ${places.admin} addr 127.0.0.1`)
    .replaceAll("/etc/ssl/gate.", `${site.folder}/server.`)
    .replaceAll("/etc/ssl/sallyport-ca.crt", `${site.folder}/ca.crt`)
    .replaceAll("gate.example.com", "localhost");
}

async function started(port: number, child: ChildProcess): Promise<Balancer> {
  atEnd(() => child.kill("SIGKILL"));
  let said = "";
  child.stderr?.on("data", (chunk) => {
    said += chunk;
  });
  await Promise.race([
    answers(port),
    new Promise<never>((_, reject) =>
      child.once("exit", (status) => reject(new Error(`the balancer ended with ${status}: ${said}`))),
    ),
  ]);
  return { port, stop: () => void child.kill("SIGKILL") };
}

/** Half of what balancers allow: more than the pings' 20 s, and the test that waits for longer than this ends sooner. */
export const nginxIdleMs = 30_000;

export async function startNginx(site: Site, places: Places): Promise<Balancer> {
  const port = await freePort();
  const folder = `${site.folder}/nginx-${port}`;
  mkdirSync(folder);
  const server = placed(recipe("### nginx", "nginx"), site, places)
    .replace("listen 443", `listen 127.0.0.1:${port}`)
    .replace("proxy_read_timeout 60s", `proxy_read_timeout ${nginxIdleMs}ms`);
  const paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/${name};`)
    .join("\n");
  const text = `daemon off; master_process off; pid ${folder}/pid; error_log ${folder}/error.log;
events {}
http { access_log off; ${paths}
${server}
}
`;
  writeFileSync(`${folder}/conf`, text);
  return started(
    port,
    spawn(program("nginx"), ["-p", folder, "-e", `${folder}/error.log`, "-c", `${folder}/conf`], {
      stdio: ["ignore", "ignore", "pipe"],
    }),
  );
}

export async function startHaproxy(site: Site, places: Places, heading: string): Promise<Balancer> {
  const port = await freePort();
  const text = placed(recipe(heading, "haproxy"), site, places).replace(
    "bind :443",
    `bind 127.0.0.1:${port}`,
  );
  const path = `${site.folder}/haproxy-${port}.cfg`;
  writeFileSync(
    path,
    `global\n  maxconn 2000\ndefaults\n  timeout connect 5s\n  timeout client 60s\n  timeout server 60s\n${text}`,
  );
  return started(
    port,
    spawn(program("haproxy"), ["-db", "-f", path], { stdio: ["ignore", "ignore", "pipe"] }),
  );
}

export async function startCaddy(site: Site, places: Places): Promise<Balancer> {
  const port = await freePort();
  const text = placed(recipe("### Caddy", "caddy"), site, places).replace(
    /^localhost \{/,
    `localhost:${port} {\n  bind 127.0.0.1`,
  );
  const path = `${site.folder}/Caddyfile-${port}`;
  writeFileSync(path, `{\n  admin off\n  auto_https disable_redirects\n}\n${text}`);
  return started(
    port,
    spawn(program("caddy"), ["run", "--adapter", "caddyfile", "--config", path], {
      env: { ...process.env, HOME: site.folder, XDG_DATA_HOME: site.folder, XDG_CONFIG_HOME: site.folder },
      stdio: ["ignore", "ignore", "pipe"],
    }),
  );
}
