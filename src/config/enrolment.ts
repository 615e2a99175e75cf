import type { Provider } from "../enrolment/provider.ts";
import type { Template } from "../enrolment/template.ts";
import type { ConfigProblem } from "../errors.ts";
import type { Environment } from "./environment.ts";
import { parseProvider } from "./provider-url.ts";
import { providerPrefix, type Values } from "./variables.ts";

/** How people and machines get certificates over the API. */
export interface EnrolmentConfig {
  /** The authority's folder. */
  readonly directory: string;
  readonly lifetimeMs: number;
  /** How long certificates can be renewed from when their holder showed a token, which may say otherwise. */
  readonly renewalSpanMs: number;
  /** Requests a minute. */
  readonly perSource: number;
  readonly perIdentity: number;
  /** What makes principals of SSH certificates; none: no SSH certificates. */
  readonly sshPrincipals: readonly Template[];
  readonly providers: readonly Provider[];
}

/** The OpenID providers, each with whatever it is for. */
export function readProviders(
  env: Environment,
  values: Values,
  problems: ConfigProblem[],
): readonly Provider[] {
  const lifetimeMs = values.SALLYPORT_CERTIFICATE_LIFETIME ?? 0;
  const renewalSpanMs = values.SALLYPORT_RENEWAL_SPAN ?? 0;
  const providers: Provider[] = [];
  for (const variable of Object.keys(env).sort()) {
    const value = env[variable];
    if (!variable.startsWith(providerPrefix) || value === undefined || value === "") continue;
    const suffix = variable.slice(providerPrefix.length);
    if (!/^[A-Z0-9]+(_[A-Z0-9]+)*$/.test(suffix)) {
      const message = `expected a name of capitals, digits and single underscores after ${providerPrefix}`;
      problems.push({ name: variable, message });
      continue;
    }
    const name = suffix.toLowerCase().replaceAll("_", "-");
    const provider = parseProvider(variable, name, value, { lifetimeMs, renewalSpanMs }, env);
    if ("message" in provider) problems.push(provider);
    else providers.push(provider);
  }
  return providers;
}

/** `null` where no authority is configured. */
export function readEnrolment(values: Values, providers: readonly Provider[]): EnrolmentConfig | null {
  const { SALLYPORT_AUTHORITY: directory } = values;
  if (directory === null) return null;
  return {
    directory,
    lifetimeMs: values.SALLYPORT_CERTIFICATE_LIFETIME ?? 0,
    renewalSpanMs: values.SALLYPORT_RENEWAL_SPAN ?? 0,
    perSource: values.SALLYPORT_CERTIFICATES_PER_SOURCE ?? 0,
    perIdentity: values.SALLYPORT_CERTIFICATES_PER_IDENTITY ?? 0,
    sshPrincipals: values.SALLYPORT_SSH_PRINCIPALS ?? [],
    providers,
  };
}
