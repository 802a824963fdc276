/** The page around the sections: one file that needs no network, and whose policy allows exactly one script. */
import { createHash } from 'node:crypto';
import type { Html } from './escape.ts';
import { markup, rawHtml } from './escape.ts';
import { STYLE } from './style.ts';

export interface Page {
  readonly title: string;
  readonly header: Html;
  readonly body: Html;
  /** The browser bundle's text. Empty: the page stays with its static pictures. */
  readonly script: string;
}

/** The script as it stands between its tags: nothing in it may end the element or open a comment. */
export function inlineScript(script: string): string {
  return script
    .replaceAll('\r\n', '\n')
    .replace(/<\/(script)/gi, '<\\/$1')
    .replaceAll('<!--', '<\\!--');
}

/** The Content-Security-Policy source of an inline script: `sha256-` and the digest of its exact text, in base64. */
function scriptHash(inlined: string): string {
  return `sha256-${createHash('sha256').update(inlined, 'utf8').digest('base64')}`;
}

export function page({ title, header, body, script }: Page): string {
  const inlined = inlineScript(script);
  const policy = [
    "default-src 'none'",
    inlined === '' ? "script-src 'none'" : `script-src '${scriptHash(inlined)}'`,
    "style-src 'unsafe-inline'",
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
  ].join('; ');
  return markup`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta http-equiv="Content-Security-Policy" content="${rawHtml(policy)}" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>${title}</title>
        <link rel="icon" href="data:," />
        <style>
          ${rawHtml(STYLE)}
        </style>
      </head>
      <body>
        <a class="skip" href="#main">Skip to the results</a>
        <header class="page">${header}</header>
        <main id="main">${body}</main>
        <footer class="page">
          <p>Made by chainwalk. Vega and Vega-Lite (BSD 3-Clause licence) draw the charts.</p>
        </footer>
        ${inlined === '' ? markup`` : rawHtml(`<script>${inlined}</script>`)}
      </body>
    </html> `.html;
}
