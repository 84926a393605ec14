// Filters as containerd writes them: `name==x`, `labels."a/b"!=y`, `target.digest~=^sha256:`, `labels.x` (is there).
// A comma means and; of several filters one must fit. A value is bare, up to a blank or a comma, or a quoted Go string;
// a regular expression may also stand between | or /. Blanks between the parts mean nothing.

import { UnpackError } from '../errors.js';

/** The value of a field: its path, taken apart. Undefined where the object has no such field. */
export type FieldOf<T> = (object: T, path: readonly string[]) => string | undefined;

export type Predicate<T> = (object: T) => boolean;

interface Condition {
  path: string[];
  operator: '==' | '!=' | '~=' | 'present';
  value: string;
}

/**
 * One predicate of several filters, of which one must fit; all fit where there are none.
 *
 * @throws UnpackError `ERR_INVALID_FILTER`
 */
export function compileFilters<T>(
  filters: readonly string[] | undefined,
  fieldOf: FieldOf<T>,
): Predicate<T> {
  if (filters === undefined || filters.length === 0) {
    return () => true;
  }
  const alternatives = filters.map((filter) => {
    const tests = parseFilter(filter).map((condition) => test(condition, fieldOf, filter));
    return (object: T) => tests.every((holds) => holds(object));
  });
  return (object) => alternatives.some((fits) => fits(object));
}

/** `labels.<name>` with the rest of the path as the name, as containerd reads it. */
export function labelField(
  labels: Readonly<Record<string, string>>,
  path: readonly string[],
): string | undefined {
  const name = path.slice(1).join('.');
  return Object.hasOwn(labels, name) ? labels[name] : undefined;
}

function test<T>(condition: Condition, fieldOf: FieldOf<T>, filter: string): Predicate<T> {
  const { path, operator, value } = condition;
  switch (operator) {
    case 'present':
      return (object) => fieldOf(object, path) !== undefined;
    case '==':
      return (object) => fieldOf(object, path) === value;
    case '!=':
      // As in containerd: what is not there is not equal.
      return (object) => fieldOf(object, path) !== value;
    case '~=': {
      const pattern = compilePattern(value, filter);
      return (object) => {
        const field = fieldOf(object, path);
        return field !== undefined && pattern.test(field);
      };
    }
  }
}

function compilePattern(pattern: string, filter: string): RegExp {
  try {
    return new RegExp(pattern, 'u');
  } catch (cause) {
    const problem = `${JSON.stringify(pattern)} is not a regular expression`;
    throw new UnpackError('ERR_INVALID_FILTER', `filter ${JSON.stringify(filter)}: ${problem}`, {
      cause,
    });
  }
}

/** Takes a filter apart. */
export function parseFilter(filter: string): Condition[] {
  return new FilterParser(filter).conditions();
}

// filter    := condition (',' condition)*
// condition := path [operator value]
// path      := part ('.' part)*            part := bare | quoted
// operator  := '==' | '!=' | '~='
// value     := bare value | quoted; after ~= also |...| and /.../
class FilterParser {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  conditions(): Condition[] {
    const conditions: Condition[] = [];
    if (this.#text.trim() === '') {
      return conditions; // containerd: an empty filter fits all
    }
    do {
      conditions.push(this.#condition());
      this.#match(/\s+/y);
    } while (this.#take(','));
    return this.#at === this.#text.length
      ? conditions
      : this.#fail(`unexpected ${JSON.stringify(this.#text[this.#at])}`);
  }

  #condition(): Condition {
    const path = [this.#part()];
    while (this.#take('.')) {
      path.push(this.#part());
    }
    this.#match(/\s+/y);
    for (const operator of ['==', '!=', '~='] as const) {
      if (this.#take(operator)) {
        this.#match(/\s+/y);
        return { path, operator, value: this.#value(operator === '~=') };
      }
    }
    return { path, operator: 'present', value: '' };
  }

  #part(): string {
    this.#match(/\s+/y);
    return this.#text[this.#at] === '"'
      ? this.#quoted()
      : (this.#match(/[A-Za-z0-9_-]+/y) ?? this.#fail('a field is expected'));
  }

  #value(isPattern: boolean): string {
    const first = this.#text[this.#at];
    if (first === '"') {
      return this.#quoted();
    }
    if (isPattern && (first === '|' || first === '/')) {
      return this.#delimited(first);
    }
    // Only its first sign cannot be one of an operator: `labels.x==a=b`, `name~=debian|alpine`.
    return this.#match(/[^\s,"|=!~][^\s,]*/y) ?? this.#fail('a value is expected');
  }

  /** Between two of `delimiter`, which a backslash before it makes an ordinary sign. */
  #delimited(delimiter: string): string {
    let value = '';
    for (this.#at++; this.#at < this.#text.length; this.#at++) {
      const sign = this.#text[this.#at] as string;
      if (sign === delimiter) {
        this.#at++;
        return value;
      }
      if (sign === '\\' && this.#text[this.#at + 1] === delimiter) {
        this.#at++;
        value += delimiter;
      } else if (sign === '\\') {
        value += sign + (this.#text[++this.#at] ?? '');
      } else {
        value += sign;
      }
    }
    return this.#fail(`a closing ${delimiter} is missing`);
  }

  #quoted(): string {
    let value = '';
    for (this.#at++; this.#at < this.#text.length; ) {
      const sign = this.#text[this.#at++] as string;
      if (sign === '"') {
        return value;
      }
      value += sign === '\\' ? this.#escape() : sign;
    }
    return this.#fail('a closing quote is missing');
  }

  #escape(): string {
    const sign = this.#text[this.#at++];
    const simple = sign === undefined ? undefined : simpleEscapes[sign];
    if (simple !== undefined) {
      return simple;
    }
    const digits = { x: 2, u: 4, U: 8 }[sign ?? ''];
    if (digits !== undefined) {
      const hex = this.#match(new RegExp(`[0-9A-Fa-f]{${digits}}`, 'y'));
      const point = hex === undefined ? Number.NaN : Number.parseInt(hex, 16);
      if (point <= 0x10ffff && !(point >= 0xd800 && point <= 0xdfff)) {
        return String.fromCodePoint(point);
      }
    }
    return this.#fail('an unknown escape');
  }

  #take(text: string): boolean {
    const found = this.#text.startsWith(text, this.#at);
    if (found) {
      this.#at += text.length;
    }
    return found;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    this.#at += found?.length ?? 0;
    return found;
  }

  #fail(problem: string): never {
    throw new UnpackError(
      'ERR_INVALID_FILTER',
      `filter ${JSON.stringify(this.#text)}: ${problem} at character ${this.#at + 1}`,
    );
  }
}

const simpleEscapes: Record<string, string> = {
  __proto__: null as never,
  a: '\u0007',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  '\\': '\\',
  '"': '"',
  "'": "'",
};
