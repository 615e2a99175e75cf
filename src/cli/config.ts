import { clientUsage } from "./client-options.ts";
import { type Command, UsageError } from "./command.ts";
import { configKube, kubeCredential } from "./config/kube.ts";
import { configSsh } from "./config/ssh.ts";

const parts: Readonly<Record<string, Command["run"]>> = {
  ssh: configSsh,
  kube: configKube,
  "kube-credential": kubeCredential,
};

export const config: Command = {
  usage: `Usage: sallyport config ssh [--host PATTERN]... >> ~/.ssh/config
       sallyport config kube ROUTE [--kubeconfig FILE] [--use]

ssh    prints what makes ssh, scp, sftp, rsync, git and editors reach the hosts of your ssh
       routes with no further flags, by the SSH certificate that login brought, if it did
kube   writes a cluster, a user and a context for ROUTE into the kubeconfig and leaves all else
       in it as it is; kubectl then asks "sallyport config kube-credential" for your certificate

  --host PATTERN      instead of the hosts that the router lists
  --kubeconfig FILE   instead of the first of KUBECONFIG, or ~/.kube/config
  --use               makes it the current context
${clientUsage}`,

  run: async ([part = "", ...rest], io) => {
    const run = Object.hasOwn(parts, part) ? parts[part] : undefined;
    if (run === undefined) throw new UsageError("expected config ssh or config kube ROUTE");
    return run(rest, io);
  },
};
