// Small pieces of SVG and HTML as text; everything that comes from outside goes through `escapeHtml`.

/** Text made safe for HTML, attributes included. */
export function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0) ?? 0};`);
}

/** An element; `undefined` attributes are left out, `body` is markup. */
export function element(
  name: string,
  attributes: Record<string, string | number | undefined>,
  body = '',
): string {
  const text = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${escapeHtml(short(value ?? ''))}"`)
    .join('');
  return body === '' ? `<${name}${text}/>` : `<${name}${text}>${body}</${name}>`;
}

/** Coordinates with two digits: enough for a screen. */
function short(value: string | number): string {
  return typeof value === 'number' ? String(Math.round(value * 100) / 100) : value;
}

/** A text in a chart. */
export function label(
  x: number,
  y: number,
  content: string,
  { anchor = 'start', style = 'label' }: { anchor?: string; style?: string } = {},
): string {
  return element('text', { x, y, 'text-anchor': anchor, class: style }, escapeHtml(content));
}

/** Values of an axis from 0 or a small value to `most`: round numbers, about five of them. */
export function ticks(least: number, most: number, log: boolean): number[] {
  if (log) {
    const found: number[] = [];
    for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
      for (const digit of [1, 2, 5]) {
        const value = digit * 10 ** power;
        if (value >= least * 0.999 && value <= most * 1.001) {
          found.push(value);
        }
      }
    }
    return found;
  }
  const rough = most / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * ([1, 2, 5, 10].find((digit) => digit * power >= rough) ?? 10);
  return Array.from({ length: Math.floor(most / step + 1e-9) + 1 }, (_, index) => index * step);
}
