import { join } from "node:path";
import { writeAtomically } from "../../runtime/key-files.ts";
import type { CliIo } from "../command.ts";
import { profileFolder } from "../profile.ts";

/** A kubeconfig of its own for a local proxy; its path. It holds no secret. JSON, which is YAML. */
export function writeKubeconfig(env: CliIo["env"], route: string, server: string): string {
  const name = `sallyport-${route}`;
  const path = join(profileFolder(env), "kube", `${route}.json`);
  const config = {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name, cluster: { server } }],
    users: [{ name, user: {} }],
    contexts: [{ name, context: { cluster: name, user: name } }],
    "current-context": name,
  };
  writeAtomically(path, `${JSON.stringify(config, null, 2)}\n`, true);
  return path;
}
