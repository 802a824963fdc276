/** The palette: contrast on both pages, and engines told apart by eyes with other cones. */
import { describe, expect, it } from 'vitest';
import { ENGINE_NAMES } from '../../model/engine-name.ts';
import { WRONG_COLOURS } from './churn-timeline.ts';
import { engineStyle } from './engine-style.ts';

describe('colours', () => {
  const pages = ['#ffffff', '#14171c'];
  const engines = ENGINE_NAMES.map((name) => engineStyle(name));

  it('differ between engines and reach 3:1 on the light and on the dark page', () => {
    expect(new Set(engines.map(({ colour }) => colour)).size).toBe(ENGINE_NAMES.length);
    expect(new Set(engines.map(({ shape }) => shape)).size).toBe(ENGINE_NAMES.length);
    for (const { colour } of engines) for (const page of pages) expect(contrast(colour, page)).toBeGreaterThan(3);
  });

  it('of engines are told apart with any colour vision', () => {
    for (const vision of VISIONS) {
      engines.forEach((a, i) => {
        for (const b of engines.slice(i + 1)) {
          expect(difference(a.colour, b.colour, vision), `${a.label} and ${b.label}`).toBeGreaterThan(12);
        }
      });
    }
  });

  it('of the stacked bars are three, none an engine’s, and reach 3:1, too', () => {
    expect(WRONG_COLOURS).toHaveLength(3);
    const colours = engines.map(({ colour }) => colour);
    expect(new Set([...WRONG_COLOURS, ...colours]).size).toBe(3 + colours.length);
    for (const colour of WRONG_COLOURS) for (const page of pages) expect(contrast(colour, page)).toBeGreaterThan(3);
  });
});

type Triple = readonly [number, number, number];

/** What linear RGB becomes: full vision, then complete protanopia, deuteranopia and tritanopia (Machado, Oliveira and Fernandes 2009). */
const VISIONS: readonly (readonly Triple[])[] = [
  [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0, 1],
  ],
  [
    [0.152286, 1.052583, -0.204868],
    [0.114503, 0.786281, 0.099216],
    [-0.003882, -0.048116, 1.051998],
  ],
  [
    [0.367322, 0.860646, -0.227968],
    [0.280085, 0.672501, 0.047413],
    [-0.01182, 0.04294, 0.968881],
  ],
  [
    [1.255528, -0.076749, -0.178779],
    [-0.078411, 0.930809, 0.147602],
    [0.004733, 0.691367, 0.3039],
  ],
];

/** Contrast ratio of WCAG 2. */
function contrast(a: string, b: string): number {
  const [low = 0, high = 0] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

/** CIE 1976 colour difference; some 2 is the least that an eye sees side by side. */
function difference(a: string, b: string, vision: readonly Triple[]): number {
  const [left, right] = [lab(a, vision), lab(b, vision)];
  return Math.hypot(left[0] - right[0], left[1] - right[1], left[2] - right[2]);
}

function luminance(hex: string): number {
  return dot([0.2126, 0.7152, 0.0722], linear(hex));
}

function linear(hex: string): Triple {
  const part = (at: number): number => {
    const value = parseInt(hex.slice(at, at + 2), 16) / 255;
    return value <= 0.04045 ? value / 12.92 : Math.pow((value + 0.055) / 1.055, 2.4);
  };
  return [part(1), part(3), part(5)];
}

function lab(hex: string, vision: readonly Triple[]): Triple {
  const seen = vision.map((row) => Math.min(1, Math.max(0, dot(row, linear(hex))))) as unknown as Triple;
  const bend = (t: number): number => (t > 0.008856 ? Math.cbrt(t) : 7.787 * t + 16 / 116);
  const x = bend(dot([0.4124, 0.3576, 0.1805], seen) / 0.9505);
  const y = bend(dot([0.2126, 0.7152, 0.0722], seen));
  const z = bend(dot([0.0193, 0.1192, 0.9505], seen) / 1.089);
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}

function dot(a: Triple, b: Triple): number {
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}
