import { certificatesFromPem } from "../authority/pem.ts";
import type { Route } from "../core/route.ts";
import type { ConfigProblem } from "../errors.ts";
import { noRouters } from "../peer/certificate.ts";
import { peerProtocol } from "../peer/session.ts";
import { pairUp, type ServerCertificate } from "./certificates.ts";
import { type OwnDefaults, ownRoutes } from "./own-routes.ts";
import { chainFrom, clientAnchorsFrom, type Files, pemOrPath } from "./pem.ts";
import type { Values } from "./variables.ts";

interface Peers {
  readonly route: Route | null;
  readonly certificate: ServerCertificate | null;
}

const none: Peers = { route: null, certificate: null };
/** How long a stream may be silent is for the router to say that its client came to. */
const patientMs = 7 * 86_400_000;

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** Where other routers come in, and what they are dialled by: at the router's own name, once somebody may be one. */
export function peerRoute(
  values: Values,
  defaults: OwnDefaults,
  app: Route | null,
  files: Files,
  problems: ConfigProblem[],
  warnings: string[],
): Peers {
  const { SALLYPORT_PEER_ALLOW: allow, SALLYPORT_PEER_CA: ca } = values;
  if (allow === null) {
    for (const name of ["SALLYPORT_PEER_CERT", "SALLYPORT_PEER_ADDRESS", "SALLYPORT_PEERS"] as const)
      if (values[name] !== null)
        warnings.push(`${name} is set, and SALLYPORT_PEER_ALLOW is not: no other router is known`);
    return none;
  }
  if (values.SALLYPORT_PEERS === null) {
    const isAlone = values.SALLYPORT_STATE_URL === null || values.SALLYPORT_STATE_URL === "memory:";
    if (isAlone)
      warnings.push(
        "SALLYPORT_PEER_ALLOW is set, and neither SALLYPORT_STATE_URL nor SALLYPORT_PEERS says where other routers are: they may come, and none is asked",
      );
    else if (values.SALLYPORT_PEER_ADDRESS === null)
      warnings.push(
        "SALLYPORT_PEER_ADDRESS is not set: other routers are not told where to ask for agents of this one",
      );
  }
  const before = problems.length;
  const problem = (name: string, message: string): void => void problems.push({ name, message });
  let { anchors } = defaults;
  if (ca !== null) {
    try {
      anchors = clientAnchorsFrom(ca, files);
    } catch (error) {
      problem("SALLYPORT_PEER_CA", messageOf(error));
    }
  } else if (anchors.length === 0)
    problem(
      "SALLYPORT_PEER_ALLOW",
      "routers show certificates: set SALLYPORT_PEER_CA or SALLYPORT_CLIENT_CA",
    );
  if (app === null)
    problem("SALLYPORT_PEER_ALLOW", "routers come to SALLYPORT_HOST, for which there is no certificate");
  const host = app?.names[0]?.text ?? "";
  const certificate = ownCertificate(values, host, files, problem);
  if (app === null || certificate === null || problems.length > before) return none;
  const route: Route = {
    ...app,
    ...defaults,
    name: ownRoutes.peer,
    variable: "SALLYPORT_PEER_ALLOW",
    scheme: "peer",
    adapter: "peer",
    alpn: [peerProtocol],
    takesNoAlpn: false,
    client: "required",
    login: null,
    anchors,
    allow,
    certificate: { cert: certificate.cert, key: certificate.key },
    idleTimeoutMs: patientMs,
  };
  return { route, certificate };
}

function ownCertificate(
  values: Values,
  host: string,
  files: Files,
  problem: (name: string, message: string) => void,
): ServerCertificate | null {
  const { SALLYPORT_PEER_CERT: cert, SALLYPORT_PEER_KEY: key } = values;
  if (cert === null)
    problem("SALLYPORT_PEER_CERT", "expected this router's own certificate for other routers");
  if (key === null) problem("SALLYPORT_PEER_KEY", "expected the private key of SALLYPORT_PEER_CERT");
  if (cert === null || key === null) return null;
  let at = "SALLYPORT_PEER_CERT";
  try {
    const chain = chainFrom(cert, files);
    const [leaf] = certificatesFromPem(chain);
    const unfit = leaf === undefined ? "it is empty" : noRouters(leaf, host);
    if (unfit !== null) throw new Error(`is no router's: ${unfit}; "sallyport ca router" makes one`);
    at = "SALLYPORT_PEER_KEY";
    return pairUp("SALLYPORT_PEER_CERT", chain, pemOrPath(key, files), files);
  } catch (error) {
    problem(at, messageOf(error));
    return null;
  }
}
