/** The report's style sheet: system fonts, one column of text, light and dark, narrow and wide, screen and paper. */

const LIGHT = `
  --page: #ffffff; --panel: #f6f7f9; --text: #1b2027; --soft: #525b67; --rule: #dfe3e8; --link: #0b5cad;
  --good: #0a6b4c; --bad: #a8340a; --note: #7a5b00;
  --chart-text: #454c57; --chart-strong: #1b2027; --chart-grid: #e6e9ed; --chart-line: #9aa3ae; --chart-mark: #6b7280;`;

const DARK = `
  --page: #14171c; --panel: #1c2027; --text: #e7eaee; --soft: #aab2bd; --rule: #323842; --link: #7db8f5;
  --good: #5fcaa0; --bad: #f39a6f; --note: #e2bd5a;
  --chart-text: #b9c0ca; --chart-strong: #e7eaee; --chart-grid: #2a3039; --chart-line: #5b6470; --chart-mark: #98a1ad;`;

export const STYLE = `
:root { color-scheme: light dark; ${LIGHT} }
@media screen and (prefers-color-scheme: dark) { :root { ${DARK} } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
body { margin: 0; background: var(--page); color: var(--text); font: 16px/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; overflow-wrap: break-word; }
main, header.page, footer.page { max-width: 54rem; margin: 0 auto; padding: 0 1.25rem; }
header.page { padding-top: 3rem; }
footer.page { padding-top: 2rem; padding-bottom: 3rem; color: var(--soft); font-size: .875rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -.01em; margin: 0 0 .5rem; font-weight: 680; }
h2 { font-size: 1.35rem; line-height: 1.3; margin: 3.25rem 0 .75rem; font-weight: 650; }
h3 { font-size: 1.08rem; line-height: 1.35; margin: 2.5rem 0 .5rem; font-weight: 640; }
h4 { font-size: 1rem; margin: 1.75rem 0 .4rem; font-weight: 640; }
p { margin: .6rem 0; max-width: 46rem; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, .table-box:focus-visible { outline: 3px solid var(--link); outline-offset: 3px; border-radius: 3px; }
.skip { position: absolute; left: -999px; } .skip:focus { left: 1rem; top: 1rem; background: var(--page); padding: .5rem 1rem; z-index: 2; }
.kicker { color: var(--soft); font-size: .9rem; margin: 0 0 .4rem; }
.question { font-size: 1.15rem; color: var(--soft); margin: 0 0 1.25rem; }
.verdict { background: var(--panel); border-radius: 10px; padding: 1.1rem 1.4rem; margin: 1.5rem 0 2rem; }
.verdict h2, .verdict h3 { margin: 0 0 .5rem; font-size: 1.05rem; }
.verdict ul { margin: 0; padding-left: 1.15rem; } .verdict li { margin: .45rem 0; max-width: 46rem; }
.badge { display: inline-block; font-size: .8rem; border: 1px solid var(--rule); border-radius: 999px; padding: .05rem .65rem; color: var(--soft); margin-left: .5rem; vertical-align: .12em; font-weight: 400; white-space: nowrap; letter-spacing: 0; }
.notice { border-left: 4px solid var(--note); padding: .3rem 0 .3rem 1rem; margin: 1.25rem 0; }
.notice.bad { border-color: var(--bad); }
.notice ul { margin: .3rem 0; padding-left: 1.15rem; }
figure { margin: 2.75rem 0 0; }
figure h3, figure h4 { margin: 0 0 .25rem; font-size: 1.08rem; }
.finding { margin: .2rem 0 1rem; }
.reading { color: var(--soft); font-size: .9rem; margin: .75rem 0 0; }
.chart { width: 100%; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; }
.chart .wide { max-width: 725px; } .chart .narrow { display: none; }
@media (max-width: 620px) { .chart .wide { display: none; } .chart .narrow { display: block; } }
.chart.live .wide, .chart.live .narrow { display: none; }
.chart .view { display: none; } .chart.live .view { display: block; } .chart.live .view svg { width: auto; max-width: 100%; }
.vega-embed { display: block; width: 100%; }
#vg-tooltip-element { position: fixed; z-index: 1000; visibility: hidden; background: var(--page); color: var(--text); border: 1px solid var(--rule); border-radius: 8px; box-shadow: 0 4px 18px rgb(0 0 0 / .18); padding: .5rem .75rem; font-size: .82rem; line-height: 1.45; max-width: min(22rem, 90vw); pointer-events: none; }
#vg-tooltip-element.visible { visibility: visible; }
#vg-tooltip-element td.key { color: var(--soft); padding-right: .7rem; text-align: left; vertical-align: top; border: 0; white-space: normal; }
#vg-tooltip-element td { border: 0; padding: 0; white-space: normal; }
details { margin: .75rem 0; }
summary { cursor: pointer; color: var(--link); font-size: .9rem; width: fit-content; padding: .15rem 0; }
.table-box { overflow-x: auto; max-width: 100%; margin: .75rem 0; border: 1px solid var(--rule); border-radius: 8px; }
table { border-collapse: collapse; font-size: .86rem; line-height: 1.4; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding: .6rem .8rem; caption-side: top; }
th, td { text-align: left; padding: .4rem .8rem; border-top: 1px solid var(--rule); white-space: nowrap; vertical-align: top; }
td.wrap { white-space: normal; min-width: 16rem; }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; white-space: normal; min-width: 5rem; line-height: 1.25; }
.number { text-align: right; }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) minmax(0, 1fr); gap: .35rem 1.25rem; margin: 1rem 0; font-size: .93rem; }
dt { color: var(--soft); } dd { margin: 0; min-width: 0; }
@media (max-width: 560px) { dl { grid-template-columns: minmax(0, 1fr); gap: 0; } dd { margin-bottom: .6rem; } h1 { font-size: 1.55rem; } header.page { padding-top: 1.75rem; } .verdict { padding: 1rem 1.1rem; } }
code, pre { font: .86em/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, "Liberation Mono", monospace; }
code { overflow-wrap: anywhere; }
pre { background: var(--panel); padding: .9rem 1rem; border-radius: 8px; overflow-x: auto; }
nav ol { padding-left: 0; list-style: none; margin: 1rem 0; }
nav ol > li { padding: .9rem 0; border-top: 1px solid var(--rule); }
nav li ul { margin: .4rem 0 0; padding-left: 1.15rem; list-style: disc; } nav li li { margin: .3rem 0; }
nav li a { font-weight: 640; } nav li p { margin: .25rem 0 0; } nav .q { color: var(--soft); }
section.experiment { border-top: 1px solid var(--rule); margin-top: 4rem; padding-top: .5rem; }
section.experiment > h2 { margin-top: 1.75rem; font-size: 1.6rem; }
@media print {
  body { font-size: 10.5pt; } main, header.page, footer.page { max-width: none; }
  figure, .verdict, tr { break-inside: avoid; } h2, h3, h4 { break-after: avoid; }
  .table-box { overflow: visible; border: 0; } th, td { white-space: normal; padding: .2rem .4rem; } pre { white-space: pre-wrap; }
  summary, .skip { display: none; } a { color: inherit; text-decoration: none; }
}
`;
