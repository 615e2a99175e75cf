import { delimiter, join } from "node:path";
import { openClient } from "../client.ts";
import { clientFlags } from "../client-options.ts";
import type { CliIo } from "../command.ts";
import { UsageError } from "../command.ts";
import { askRoutes } from "../listed-routes.ts";
import { optionsAnd } from "../options.ts";
import { targetOf } from "../route-target.ts";
import { commandAgain } from "./again.ts";
import { mergeKubeconfigs } from "./kubeconfig.ts";

/** The kubeconfigs that kubectl reads, the first to say something being the one that counts. */
function kubeconfigPaths(given: string | undefined, env: CliIo["env"]): readonly string[] {
  if (given !== undefined) return [given];
  const listed = (env.KUBECONFIG ?? "").split(delimiter).filter((path) => path !== "");
  if (listed.length > 0) return listed;
  const home = env.HOME ?? env.USERPROFILE ?? "";
  if (home === "") throw new UsageError("--kubeconfig is missing: HOME is not set");
  return [join(home, ".kube", "config")];
}

/** `config kube ROUTE`: writes a cluster, a user and a context into the kubeconfig. */
export async function configKube(args: readonly string[], io: CliIo): Promise<number> {
  const { values: flags, positionals } = optionsAnd(
    args,
    { ...clientFlags, kubeconfig: { type: "string" }, use: { type: "boolean" } },
    ["ROUTE"],
  );
  const client = await openClient(flags, io.env);
  const { pair } = await client.credential((line) => io.err(`sallyport: ${line}`)).current();
  const api = client.api(pair);
  const [route = ""] = positionals;
  const target = await askRoutes(api)
    .then((listed) => targetOf(route, "kube", listed, { alpn: undefined, protocol: undefined }))
    .finally(() => api.close());
  if (client.link.tunnelled)
    throw new Error(
      `a balancer in front of ${client.link.name} ends TLS, which kubectl can't go through by itself: use sallyport proxy kube ${route}`,
    );
  const { ca } = client.address;
  const name = `sallyport-${target.name}`;
  const [command = "", ...rest] = commandAgain(["config", "kube-credential"], flags, io.env);
  const path = mergeKubeconfigs(kubeconfigPaths(flags.kubeconfig, io.env), {
    name,
    cluster: {
      server: `https://${client.link.name}`,
      "tls-server-name": target.serverName,
      ...(ca === null ? {} : { "certificate-authority-data": Buffer.from(ca).toString("base64") }),
    },
    user: {
      exec: {
        apiVersion: "client.authentication.k8s.io/v1",
        command,
        args: rest,
        interactiveMode: "Never",
        provideClusterInfo: false,
      },
    },
    use: flags.use === true,
  });
  io.err(`wrote the context ${name} to ${path}`);
  io.err(`  kubectl --context ${name} get pods`);
  return 0;
}

/** `config kube-credential`: what kubectl asks for when it needs the client certificate (client-go credential plugin). */
export async function kubeCredential(args: readonly string[], io: CliIo): Promise<number> {
  const { values: flags } = optionsAnd(args, clientFlags, []);
  const client = await openClient(flags, io.env);
  const { pair, notAfter } = await client.credential((line) => io.err(`sallyport: ${line}`)).current();
  io.out(
    JSON.stringify({
      apiVersion: "client.authentication.k8s.io/v1",
      kind: "ExecCredential",
      status: {
        expirationTimestamp: new Date(notAfter).toISOString().replace(/\.\d+Z$/, "Z"),
        clientCertificateData: pair.certificate,
        clientKeyData: pair.key,
      },
    }),
  );
  return 0;
}
