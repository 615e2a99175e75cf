import { init, renew } from "./ca-init.ts";
import { issue, router, server } from "./ca-issue.ts";
import { crl, revoke, sshKrl } from "./ca-revoke.ts";
import { ssh, sshHost, sshUser } from "./ca-ssh.ts";
import { token } from "./ca-token.ts";
import { type CliIo, type Command, UsageError } from "./command.ts";

const usage = `Usage: sallyport ca init   --dir DIR [--name NAME] [--algorithm ecdsa|ed25519|rsa]
                           [--passphrase-file FILE] [--permit-dns DOMAIN]...
                           [--permit-email DOMAIN]... [--permit-uri DOMAIN]... [--force]
       sallyport ca server --dir DIR --name DNS_NAME... --out PREFIX [--lifetime 90d]
                           [--algorithm ecdsa|ed25519|rsa]
       sallyport ca router --dir DIR --name DNS_NAME --cn NAME --out PREFIX [--org NAME]
                           [--group NAME]... [--uri URI]... [--lifetime 90d]
                           [--algorithm ecdsa|ed25519|rsa]
       sallyport ca issue  --dir DIR --cn NAME --out PREFIX [--org NAME] [--group NAME]...
                           [--email ADDRESS]... [--dns NAME]... [--uri URI]... [--lifetime 8h]
                           [--source CIDR]... [--route NAME]... [--force]
                           [--algorithm ecdsa|ed25519|rsa]
       sallyport ca token  --dir DIR --cn NAME [--org NAME] [--group NAME]... [--email ADDRESS]...
                           [--dns NAME]... [--uri URI]... [--lifetime 8h] [--expires 1h]
                           [--renewable 24h] [--source CIDR]... [--route NAME]...
       sallyport ca revoke --dir DIR (--cert FILE | --serial NUMBER) [--reason REASON]
                           [--out FILE] [--lifetime 90d]
       sallyport ca revoke --dir DIR --ssh-key FILE
       sallyport ca crl    --dir DIR [--out FILE] [--lifetime 90d]
       sallyport ca renew  --dir DIR [--passphrase-file FILE]
       sallyport ca ssh    --dir DIR [--for sshd|clients] [--host PATTERN]...
       sallyport ca ssh-user --dir DIR --public-key FILE --cn NAME --principal USER...
                           [--lifetime 8h] [--source CIDR]... [--permit WORD]... [--out PREFIX]
                           [--force]
       sallyport ca ssh-host --dir DIR --public-key FILE --name DNS_NAME... [--lifetime 90d]
                           [--out PREFIX]
       sallyport ca ssh-krl --dir DIR [--out FILE]

An authority of your own, in a folder: no server, no database.

  init    makes the root DIR/ca.crt and DIR/ca.key (ten years), below it DIR/issuing.crt and
          DIR/issuing.key, which sign everything else, and DIR/ca.crl. ca.key may then go where
          nobody finds it; --passphrase-file encrypts it. --permit-… limits the domains of names
  server  makes PREFIX.crt and PREFIX.key for a router; --name also takes *.example.com
  router  makes PREFIX.crt and PREFIX.key by which one of several routers is known to the others
          (SALLYPORT_PEER_CERT); --name is their SALLYPORT_HOST
  issue   makes PREFIX.crt and PREFIX.key for a person or a machine; a group is an
          organizational unit in the certificate, and a --uri may be a SPIFFE ID; --source and
          --route limit where it may be used from, and for which routes
  token   prints a token with which a machine gets one such certificate from the router
          ("sallyport login --token"), within --expires; the key is made there. --renewable
          says how long it can be renewed
  revoke  ends a certificate before its time, and the SSH certificate that came with it; or an
          SSH key with all its certificates. Writes DIR/ca.crl, and DIR/ssh.krl for sshd
  crl     writes DIR/ca.crl anew, before it expires
  renew   gives the issuing authority a new key, with the root's; restart what has it open
  ssh     prints the authority's SSH keys: for the file that sshd's TrustedUserCAKeys names, and
          for clients' known_hosts (@cert-authority), for --host alone where given
  ssh-user  signs a person's SSH key: PREFIX-cert.pub, beside the key unless --out says where;
          --principal is a user to log in as. --permit pty,port-forwarding unless given; also
          agent-forwarding, X11-forwarding, user-rc, or none
  ssh-host  signs a server's SSH key for its names
  ssh-krl  writes DIR/ssh.krl anew: what was revoked, for the file that sshd's RevokedKeys names

Keys are written with mode 0600. With --json, says what was made as JSON.`;

const actions: Readonly<Record<string, (args: readonly string[], io: CliIo) => Promise<number>>> = {
  init,
  server,
  router,
  issue,
  token,
  revoke,
  crl,
  renew,
  ssh,
  "ssh-user": sshUser,
  "ssh-host": sshHost,
  "ssh-krl": sshKrl,
};

export const ca: Command = {
  usage,
  run(args, io) {
    const [name = "", ...rest] = args;
    const action = Object.hasOwn(actions, name) ? actions[name] : undefined;
    if (action === undefined) {
      throw new UsageError(
        `${name === "" ? "what to do is missing" : `there is no "ca ${name}"`}: expected ${Object.keys(actions).join(", ")}`,
      );
    }
    return action(rest, io);
  },
};
