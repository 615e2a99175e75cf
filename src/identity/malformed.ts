/** A part of a certificate that is not what its type has to be. Never leaves `parseCertificate`. */
export class Malformed extends Error {}

export const must = <T>(value: T | undefined, what: string): T => {
  if (value === undefined) throw new Malformed(what);
  return value;
};
