import type { Person } from "../authority/subject.ts";
import { valuesOf } from "../identity/name.ts";
import type { CertificationRequest } from "./certification-request.ts";
import { EnrolmentRefusal } from "./refusal.ts";

const kinds = (person: Person): Readonly<Record<string, readonly string[]>> => ({
  CN: [person.commonName],
  O: person.organization === undefined ? [] : [person.organization],
  OU: person.groups ?? [],
  emailAddress: person.emails ?? [],
});

const alternatives = (person: Person): Readonly<Record<string, readonly string[]>> => ({
  dns: person.dnsNames ?? [],
  email: person.emails ?? [],
  url: person.uris ?? [],
});

/**
 * Who somebody is, their credential says and never the request. One that names nobody, or them, is fine; one that
 * names anybody or anything else is refused, rather than answered with a certificate that was not asked for.
 */
export function refuseOtherNames(request: CertificationRequest, person: Person): void {
  const theirs = kinds(person);
  const known = Object.entries(theirs).flatMap(([kind, values]) =>
    valuesOf(request.subject, kind).map((value) => ({ kind, value, good: values.includes(value) })),
  );
  const wrong = known.find(({ good }) => !good);
  if (wrong !== undefined) throw mismatch(`${wrong.kind}=${wrong.value}`);
  if (known.length !== request.subject.flat().length)
    throw mismatch("a subject attribute other than CN, O, OU and emailAddress");
  const allowed = alternatives(person);
  for (const { type, value } of request.names)
    if (allowed[type]?.includes(value) !== true) throw mismatch(`the alternative name ${type}:${value}`);
}

const mismatch = (what: string): EnrolmentRefusal =>
  new EnrolmentRefusal(
    "identity_mismatch",
    `csr: names ${JSON.stringify(what).slice(1, -1).slice(0, 200)}, which is not who you have shown to be`,
  );
