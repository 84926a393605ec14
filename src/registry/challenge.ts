// WWW-Authenticate (RFC 9110 section 11.6.1): `Bearer realm="https://…",service="…",scope="…"`, `Basic realm="…"`,
// several in one header or in several.

/** A way to authenticate that a registry offers. */
export interface Challenge {
  /** Lower case. */
  scheme: string;
  /** Names in lower case. */
  parameters: Readonly<Record<string, string>>;
}

const token = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";
const parameter = new RegExp(`^(${token})\\s*=\\s*(?:"((?:[^"\\\\]|\\\\.)*)"|([^\\s",]+))`);
const scheme = new RegExp(`^(${token})(?=[\\s,]|$)`);
/** What `Negotiate` and `NTLM` have in place of parameters. */
const token68 = /^\s+[A-Za-z0-9._~+/-]+=*\s*(?=,|$)/;

/** The challenges, in their order; what cannot be read ends the list. */
export function parseChallenges(header: string | readonly string[] | undefined): Challenge[] {
  return [header ?? []].flat().flatMap(parseHeader);
}

function parseHeader(header: string): Challenge[] {
  const challenges: { scheme: string; parameters: Record<string, string> }[] = [];
  let rest = header.trim();
  while (rest !== '') {
    const found = parameter.exec(rest);
    const current = challenges.at(-1);
    if (found !== null && current !== undefined) {
      const [all, name = '', quoted, plain] = found;
      current.parameters[name.toLowerCase()] = quoted?.replace(/\\(.)/g, '$1') ?? plain ?? '';
      rest = rest.slice(all.length);
    } else {
      const next = scheme.exec(rest);
      if (next === null) {
        break;
      }
      challenges.push({ scheme: (next[1] ?? '').toLowerCase(), parameters: {} });
      rest = rest.slice(next[0].length).replace(token68, '');
    }
    rest = rest.replace(/^[\s,]+/, '');
  }
  return challenges;
}
