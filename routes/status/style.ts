/** Of all pages; narrow screens get tables as cards. Contrast is 7:1 at least for text, in the dark too. */
export const style = `
:root {
  color-scheme: light dark;
  font: 16px/1.5 system-ui, sans-serif;
  --text: #1b1f24; --soft: #424a53; --back: #fff; --panel: #f3f5f7; --line: #c8d0d9; --link: #00408c;
  --up: #0b5226; --degraded: #6b4200; --down: #8a0f14; --in: #00408c; --out: #8a3ffc;
}
@media (prefers-color-scheme: dark) {
  :root {
    --text: #e8ecf1; --soft: #b9c2cc; --back: #12161b; --panel: #1b2129; --line: #3c4651; --link: #9ecbff;
    --up: #7ee2a8; --degraded: #f5c969; --down: #ffb1af; --in: #9ecbff; --out: #d9b8ff;
  }
}
* { box-sizing: border-box }
body { max-width: 40rem; margin: 3rem auto; padding: 0 1rem; color: var(--text); background: var(--back) }
body.status { max-width: 110rem; margin: 1rem auto }
h1 { font-size: 1.5rem; margin: 0 }
h2 { font-size: 1.125rem; margin: 2rem 0 .5rem; scroll-margin-top: .5rem }
a { color: var(--link) }
dt { font-weight: 600 }
dd { margin: 0 0 .5rem; overflow-wrap: anywhere }
header { display: flex; flex-wrap: wrap; gap: .25rem 1.5rem; align-items: center }
header p { margin: 0 }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1rem; margin: 0; padding: 0; list-style: none }
nav a { display: inline-block; padding: .25rem 0 }
button { font: inherit; color: inherit; background: var(--panel); border: 1px solid var(--soft); border-radius: .25rem; padding: .125rem .75rem; min-height: 2rem }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px }
#figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .5rem; margin: 1rem 0 0 }
#figures div { background: var(--panel); border: 1px solid var(--line); border-radius: .375rem; padding: .5rem .75rem }
#figures dt { font-weight: 400; font-size: .875rem; color: var(--soft) }
#figures dd { font-size: 1.25rem; margin: 0; font-variant-numeric: tabular-nums }
svg { display: block; width: 100%; height: 5rem; background: var(--panel); border: 1px solid var(--line); border-radius: .375rem }
polyline { fill: none; stroke-width: 2px; vector-effect: non-scaling-stroke }
polyline.in { stroke: var(--in) }
polyline.out { stroke: var(--out); stroke-dasharray: 5 3 }
#throughput p { margin: .25rem 0 0 }
.key::before { content: ""; display: inline-block; width: 1.5rem; margin-right: .375rem; vertical-align: .25em; border-top: 2px solid var(--in) }
.key.out::before { border-top: 2px dashed var(--out) }
table { width: 100%; border-collapse: collapse; font-size: .9375rem }
caption { text-align: left; color: var(--soft); padding: 0 0 .375rem }
th, td { text-align: left; vertical-align: top; padding: .375rem .5rem; border-bottom: 1px solid var(--line); overflow-wrap: anywhere }
thead th, time, .short { white-space: nowrap }
tbody td:not([class]) { min-width: 9.5rem }
thead th { background: var(--panel); border-bottom: 2px solid var(--line) }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
time { font-variant-numeric: tabular-nums }
.badge { font-weight: 600; white-space: nowrap }
.up { color: var(--up) } .degraded { color: var(--degraded) } .down { color: var(--down) } .unknown { color: var(--soft) }
.detail { display: block; color: var(--soft); font-size: .875rem }
.none { color: var(--soft) }
footer { margin: 2rem 0 1rem; color: var(--soft); overflow-wrap: anywhere }
@media (max-width: 72rem) {
  table, tbody, tbody tr { display: block }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%) }
  caption { display: block }
  tbody tr { display: grid; grid-template-columns: repeat(auto-fill, minmax(4.5rem, 1fr)); background: var(--panel); border: 1px solid var(--line); border-radius: .375rem; margin: 0 0 .5rem; padding: .25rem }
  tbody th, tbody td, tbody td:not([class]) { display: block; min-width: 0; border: 0; padding: .25rem .5rem; grid-column: span 2 }
  tbody .number { text-align: left; grid-column: span 1; padding-right: 0 }
  tbody .long, tbody .none { grid-column: 1 / -1 }
  tbody th { grid-column: 1 / -1; order: -1; font-size: 1.0625rem }
  [data-label]::before { content: attr(data-label); display: block; font-size: .8125rem; font-weight: 400; color: var(--soft) }
}
@media (min-width: 40rem) and (max-width: 72rem) { tbody tr { grid-template-columns: repeat(auto-fill, minmax(5.5rem, 1fr)) } }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth } }
`;
