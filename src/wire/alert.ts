/** TLS alert descriptions that can be due before there is any TLS state (RFC 8446 §6.2, RFC 6066, RFC 7301). */
export const alertDescriptions = {
  handshake_failure: 40,
  access_denied: 49,
  decode_error: 50,
  internal_error: 80,
  unrecognized_name: 112,
  no_application_protocol: 120,
} as const;

export type AlertName = keyof typeof alertDescriptions;

const alertType = 21;
const fatal = 2;

/**
 * A fatal alert in a plaintext record, as the first and last thing a client hears. The record version is
 * 3.3: clients of TLS 1.2 and 1.3 alike expect it before a version is agreed on (RFC 8446 §5.1).
 */
export const alertRecord = (name: AlertName): Uint8Array =>
  Uint8Array.of(alertType, 3, 3, 0, 2, fatal, alertDescriptions[name]);
