import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import { createRequire } from "node:module";
import { type AddressInfo, connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Site } from "./router.ts";
import { SpdyServer, type SpdyStream } from "./spdy.ts";

/** The part of the `ws` package that is used here, whose own types are a package apart. */
interface WebSocket {
  send(data: Uint8Array): void;
  close(code: number): void;
  on(event: "message", listener: (data: Buffer) => void): void;
  on(event: "close", listener: () => void): void;
}
const { WebSocketServer } = createRequire(import.meta.url)("ws") as {
  WebSocketServer: new (options: {
    noServer: true;
    handleProtocols: (offered: Set<string>) => string | false;
  }) => {
    handleUpgrade(
      request: IncomingMessage,
      socket: Duplex,
      head: Buffer,
      done: (socket: WebSocket) => void,
    ): void;
  };
};

export interface KubernetesApi {
  readonly port: number;
  /** Every request so far: method, path, and who it says it is. */
  readonly requests: { method: string; url: string; host: string; authorization: string }[];
  /** Bytes of the last object that was applied. */
  readonly applied: () => number;
  stop(): void;
}

const pod = {
  apiVersion: "v1",
  kind: "Pod",
  metadata: { name: "web-0", namespace: "default", uid: "1", creationTimestamp: "2026-01-01T00:00:00Z" },
  spec: { containers: [{ name: "web", image: "web" }], nodeName: "node-1" },
  status: { phase: "Running", containerStatuses: [{ name: "web", ready: true, restartCount: 0 }] },
};

const answers: Readonly<Record<string, object>> = {
  "/version": { major: "1", minor: "32", gitVersion: "v1.32.4" },
  "/api": { kind: "APIVersions", versions: ["v1"] },
  "/apis": { kind: "APIGroupList", apiVersion: "v1", groups: [] },
  "/api/v1": {
    kind: "APIResourceList",
    groupVersion: "v1",
    resources: [
      { name: "pods", singularName: "pod", namespaced: true, kind: "Pod", verbs: ["get", "list", "watch"] },
      {
        name: "pods/exec",
        singularName: "",
        namespaced: true,
        kind: "PodExecOptions",
        verbs: ["create", "get"],
      },
      { name: "pods/log", singularName: "", namespaced: true, kind: "Pod", verbs: ["get"] },
      {
        name: "configmaps",
        singularName: "configmap",
        namespaced: true,
        kind: "ConfigMap",
        verbs: ["get", "list", "patch"],
      },
    ],
  },
  "/api/v1/namespaces/default/pods": {
    kind: "PodList",
    apiVersion: "v1",
    metadata: { resourceVersion: "1" },
    items: [pod],
  },
  "/api/v1/namespaces/default/pods/web-0": pod,
};

const maps = "/api/v1/namespaces/default/configmaps";
const map = (name: string): object => ({
  apiVersion: "v1",
  kind: "ConfigMap",
  metadata: { name, namespace: "default", uid: name, resourceVersion: "1" },
});

/** Twelve objects, as many at a time as are asked for. */
function list(query: URLSearchParams): object {
  const from = Number(query.get("continue") ?? 0);
  const limit = Number(query.get("limit") ?? 0) || 12;
  const items = Array.from({ length: 12 }, (_, i) => map(`map-${i}`)).slice(from, from + limit);
  const rest = from + limit < 12 ? { continue: String(from + limit) } : {};
  return { kind: "ConfigMapList", apiVersion: "v1", metadata: { resourceVersion: "1", ...rest }, items };
}

/** What happens to the pod while somebody watches: one thing, and then nothing for as long as the client stays. */
function watch(response: ServerResponse): void {
  response.writeHead(200, { "content-type": "application/json" });
  response.write(`${JSON.stringify({ type: "MODIFIED", object: pod })}\n`);
}

/** Five lines, one at a time, as a container that goes on writing. */
function followLog(response: ServerResponse): void {
  let line = 0;
  const timer = setInterval(() => {
    response.write(`line ${++line}\n`);
    if (line === 5) response.end();
  }, 100);
  response.once("close", () => clearInterval(timer));
}

function refuse(response: ServerResponse, code: 401 | 403): void {
  const reason = code === 401 ? "Unauthorized" : "Forbidden";
  response.writeHead(code, { "content-type": "application/json" });
  response.end(
    JSON.stringify({
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      message: "RBAC says no",
      reason,
      code,
    }),
  );
}

const success = { metadata: {}, status: "Success" };
const failure = (status: number): object => ({
  metadata: {},
  status: "Failure",
  reason: "NonZeroExitCode",
  message: `command terminated with non-zero exit code ${status}`,
  details: { causes: [{ reason: "ExitCode", message: String(status) }] },
});

/** Runs a command as in a container: under a terminal of its own where one is asked for. */
function start(query: URLSearchParams): ChildProcess {
  // To attach is to a command that runs already.
  const command = query.has("command") ? query.getAll("command") : ["cat"];
  if (query.get("tty") !== "true") return spawn(command[0] ?? "true", command.slice(1));
  const quoted = command.map((word) => `'${word.replaceAll("'", `'\\''`)}'`).join(" ");
  return spawn("script", ["-qefc", quoted, "/dev/null"], { env: { ...process.env, SHELL: "/bin/sh" } });
}

/** The channels of v4.channel.k8s.io and v5, which a message's first byte names. */
const channels = { stdin: 0, stdout: 1, stderr: 2, error: 3, close: 255 } as const;

function execOverWebSocket(socket: WebSocket, query: URLSearchParams): void {
  const child = start(query);
  const send = (channel: number, data: Buffer): void =>
    socket.send(Buffer.concat([Buffer.from([channel]), data]));
  child.stdout?.on("data", (data: Buffer) => send(channels.stdout, data));
  child.stderr?.on("data", (data: Buffer) => send(channels.stderr, data));
  child.stdin?.on("error", () => {});
  socket.on("message", (data) => {
    if (data[0] === channels.stdin) child.stdin?.write(data.subarray(1));
    if (data[0] === channels.close && data[1] === channels.stdin) child.stdin?.end();
  });
  socket.on("close", () => child.kill());
  child.once("close", (status) => {
    send(channels.error, Buffer.from(JSON.stringify(status === 0 ? success : failure(status ?? 1))));
    socket.close(1000);
  });
}

/** Streams of one request: the client opens one a channel, and says which in their headers. */
function execOverSpdy(query: URLSearchParams): (stream: SpdyStream) => void {
  const wanted = ["error", "stdin", "stdout", "stderr"].filter(
    (name) =>
      name === "error" || (query.get(name) === "true" && !(name === "stderr" && query.get("tty") === "true")),
  );
  const streams = new Map<string, SpdyStream>();
  return (stream) => {
    streams.set(stream.headers.streamtype ?? "", stream);
    if (streams.size < wanted.length) return;
    const child = start(query);
    child.stdin?.on("error", () => {});
    const input = streams.get("stdin");
    if (input !== undefined) {
      input.onData = (data) => void child.stdin?.write(data);
      input.onEnd = () => child.stdin?.end();
    }
    child.stdout?.on("data", (data: Buffer) => streams.get("stdout")?.write(data));
    child.stderr?.on("data", (data: Buffer) => streams.get("stderr")?.write(data));
    child.once("close", (status) => {
      if (status !== 0) streams.get("error")?.write(Buffer.from(JSON.stringify(failure(status ?? 1))));
      for (const one of streams.values()) one.end();
    });
  };
}

/** Connects each data stream to that port of this machine, which stands for the pod's. */
function forwardPort(stream: SpdyStream): void {
  if (stream.headers.streamtype !== "data") return;
  const socket = connect({ host: "127.0.0.1", port: Number(stream.headers.port), allowHalfOpen: true });
  socket.on("error", () => stream.end());
  socket.on("data", (data: Buffer) => stream.write(data));
  socket.on("end", () => stream.end());
  stream.onData = (data) => void socket.write(data);
  stream.onEnd = () => void socket.end();
}

/** Whether a request may be made, as authentication and RBAC say it: the status of the refusal, or `null`. */
type Admits = (request: IncomingMessage) => 401 | 403 | null;

/**
 * Knows one user by its token, who may do nothing but act as others, and has a group whose members may do everything.
 */
export const impersonation =
  (token: string, group: string): Admits =>
  ({ url = "", headers, rawHeaders }) => {
    if (headers.authorization !== `Bearer ${token}`) return 401;
    const groups = rawHeaders.filter(
      (_, i) => i % 2 === 1 && /^impersonate-group$/i.test(rawHeaders[i - 1] ?? ""),
    );
    // What there is in a cluster, everybody may know.
    const admitted = groups.includes(group) || !url.includes("/namespaces/");
    return headers["impersonate-user"] !== undefined && admitted ? null : 403;
  };

/**
 * As much of a Kubernetes API server as `kubectl get`, `apply`, `logs -f`, `exec`, `attach`, `cp` and `port-forward`
 * need, over WebSocket and SPDY; the one pod there is runs its commands on this machine.
 */
export async function startKubernetes(site: Site, admits: Admits = () => null): Promise<KubernetesApi> {
  let applied = 0;
  const requests: KubernetesApi["requests"] = [];
  const noted = (request: IncomingMessage): URL => {
    const { method = "", url = "", headers } = request;
    requests.push({ method, url, host: headers.host ?? "", authorization: headers.authorization ?? "" });
    return new URL(url, "https://kubernetes");
  };
  const server = createServer(
    { cert: readFileSync(`${site.folder}/server.crt`), key: readFileSync(`${site.folder}/server.key`) },
    (request, response) => {
      const { pathname, searchParams } = noted(request);
      const refused = admits(request);
      if (refused !== null) return refuse(response, refused);
      if (request.method === "PATCH") {
        request.on("data", (chunk: Buffer) => {
          applied += chunk.length;
        });
        request.once("end", () => {
          response.writeHead(200, { "content-type": "application/json" });
          response.end(JSON.stringify(map(pathname.split("/").at(-1) ?? "")));
        });
        applied = 0;
        return;
      }
      if (searchParams.get("watch") === "true") return watch(response);
      if (pathname.endsWith("/log") && searchParams.get("follow") === "true") return followLog(response);
      const body = pathname === maps ? list(searchParams) : answers[pathname];
      response.writeHead(body === undefined ? 404 : 200, { "content-type": "application/json" });
      const status = { kind: "Status", apiVersion: "v1", status: "Failure", reason: "NotFound", code: 404 };
      response.end(JSON.stringify(body ?? status));
    },
  );
  const sockets = new WebSocketServer({
    noServer: true,
    handleProtocols: (offered) =>
      ["SPDY/3.1+portforward.k8s.io", "v5.channel.k8s.io", "v4.channel.k8s.io"].find((one) =>
        offered.has(one),
      ) ?? false,
  });
  server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    const { pathname, searchParams } = noted(request);
    if (admits(request) !== null)
      return void socket.end("HTTP/1.1 403 Forbidden\r\nConnection: close\r\n\r\n");
    const forwarding = pathname.endsWith("/portforward");
    if (request.headers.upgrade?.toLowerCase() === "websocket") {
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        if (!forwarding) return execOverWebSocket(webSocket, searchParams);
        const spdy = new SpdyServer((bytes) => webSocket.send(bytes), forwardPort);
        webSocket.on("message", (data) => spdy.take(data));
      });
      return;
    }
    const offered = [request.headers["x-stream-protocol-version"] ?? []]
      .flat()
      .join(",")
      .split(/\s*,\s*/);
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${offered[0]}\r\n\r\n`,
    );
    const spdy = new SpdyServer(
      (bytes) => void socket.write(bytes),
      forwarding ? forwardPort : execOverSpdy(searchParams),
    );
    socket.on("error", () => {});
    if (head.length > 0) spdy.take(head);
    socket.on("data", (data: Buffer) => spdy.take(data));
    socket.on("end", () => socket.end());
  });
  const open = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    applied: () => applied,
    stop: () => {
      server.close();
      for (const socket of open) socket.destroy();
    },
  };
}
