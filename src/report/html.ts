/** @file The frame of a page: one self-contained document with its styles, readable on light and dark ground, on desk and phone. */
import { escapeXml } from "./svg.js";

/** A piece of a page that a live page replaces as a whole. */
export interface Part {
  readonly id: string;
  /** Markup; empty where there is nothing to show yet. */
  readonly html: string;
}

const style = `
:root{color-scheme:light dark;--ground:#f4f6f8;--card:#fff;--ink:#1f2328;--faint:#656d76;--rule:#d8dee4;--hue:#1b4f9c;--good:#2b7a4b;--warn:#c2571a;--bad:#b3261e}
@media (prefers-color-scheme:dark){:root{--ground:#010409;--card:#0d1117;--ink:#e6edf3;--faint:#8d96a0;--rule:#30363d;--hue:#6ca4f0;--good:#58b27c;--warn:#e2894f;--bad:#f2726a}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1240px;margin:0 auto;padding:28px 24px 60px}
section{margin-top:34px}section:empty{display:none}
h1{font-size:26px;line-height:1.2;margin:0;overflow-wrap:anywhere}
h2{font-size:17px;margin:0 0 12px}
p{margin:0}.quiet{color:var(--faint)}.small{font-size:13px}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px}
.bar{height:6px;border-radius:3px;background:var(--rule);margin-top:14px;overflow:hidden}.bar>i{display:block;height:100%;background:var(--hue)}
.live::before{content:"";display:inline-block;width:9px;height:9px;border-radius:50%;background:var(--good);margin-right:7px}
.lost .live::before{background:var(--faint)}
.tiles{display:grid;grid-template-columns:repeat(8,1fr);gap:10px;margin-top:20px}
.tile{padding:12px 14px}.tile b{display:block;font-size:22px;line-height:1.25;font-weight:600;white-space:nowrap}.tile span{display:block;font-size:12px;line-height:1.35;color:var(--faint)}
.tilenote{margin-top:8px}.remark{padding:12px 16px;border-left:4px solid var(--faint)}.remark+.remark{margin-top:10px}
.remark.warning{border-left-color:var(--warn)}.remark.error{border-left-color:var(--bad)}
.remark b{font-weight:600}.remark small{float:right;margin-left:12px;color:var(--faint)}
.curves{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,340px),1fr));gap:12px}
.curves .card{padding:6px 4px 0}.curves svg{display:block;width:100%;height:auto}.curves .page{fill:none}
.probe{display:grid;grid-template-columns:minmax(0,1.15fr) minmax(0,1fr);gap:12px;align-items:start}
.probe>.card{padding:16px}.probe svg{display:block;width:100%;height:auto;margin-top:12px}
.strip{display:flex;gap:10px;overflow-x:auto;padding:14px 2px 6px}
.strip button{flex:0 0 84px;padding:6px;border:1px solid var(--rule);border-radius:8px;background:none;color:var(--faint);font:inherit;font-size:12px;line-height:1.35;cursor:pointer}
.strip button[aria-pressed=true]{border-color:var(--hue);box-shadow:inset 0 0 0 1px var(--hue);color:var(--ink)}
.strip svg{margin-bottom:4px}
input[type=range]{width:100%;margin:10px 0 0;accent-color:var(--hue)}
.pairs{list-style:none;margin:0;padding:0;display:grid;gap:8px}
.pairs li{display:grid;grid-template-columns:22px 44px 1fr auto;gap:10px;align-items:center;line-height:1.3}
.pairs img{width:44px;height:44px;object-fit:cover;border-radius:5px;display:block}
.pairs .no{color:var(--faint);font-size:12px;text-align:right}.pairs .caption{overflow-wrap:anywhere}
.pairs .rank{font-size:12px;color:var(--warn);text-align:right;white-space:nowrap}.pairs .rank.first{color:var(--good)}
.cell{fill:var(--hue)}.cellframe{fill:none;stroke:var(--good);stroke-width:2}.cellframe.wrong{stroke:var(--warn)}
.recipe{padding:8px 16px;display:grid;grid-template-columns:max-content minmax(0,1fr);column-gap:20px}
.recipe dt,.recipe dd{margin:0;padding:5px 0;border-bottom:1px solid var(--rule)}.recipe dt{color:var(--faint)}
.recipe dd{overflow-wrap:anywhere;white-space:pre-wrap}.recipe>:nth-last-child(-n+2){border-bottom:0}
@media (max-width:1100px){.tiles{grid-template-columns:repeat(4,1fr)}}
@media (max-width:820px){.probe{grid-template-columns:1fr}}
@media (max-width:520px){main{padding:20px 14px 40px}.tiles{grid-template-columns:repeat(2,1fr)}h1{font-size:22px}.remark small{float:none;display:block;margin:0}}
`;

/** A whole document. `scripts` run at its end. */
export function htmlPage(title: string, parts: readonly Part[], scripts: readonly string[]): string {
  return [
    "<!doctype html>",
    '<html lang="en">',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width,initial-scale=1">',
    `<title>${escapeXml(title)}</title>`,
    '<link rel="icon" href="data:,">', // or a browser asks the server for one
    `<style>${style}</style>`,
    "<main>",
    ...parts.map(({ id, html }) => `<section id="${id}">${html}</section>`),
    "</main>",
    ...scripts.map((script) => `<script>${script}</script>`),
    "</html>\n",
  ].join("\n");
}
