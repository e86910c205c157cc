"""Style and script of the page. Both are inlined; nothing is loaded from anywhere."""

from __future__ import annotations

import base64
import hashlib

from aimat_ray.report.svg import theme_variables

STYLE = (
    theme_variables()
    + """
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%;scroll-behavior:smooth}
body{margin:0;background:var(--paper);color:var(--ink);line-height:1.55;font-size:1rem;
  font-family:system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,sans-serif}
h1,h2,h3,.tile b{font-family:"Iowan Old Style","Palatino Linotype",Palatino,"Book Antiqua",Georgia,serif}
h1{font-size:clamp(1.7rem,1.2rem + 2.2vw,2.7rem);line-height:1.15;font-weight:600;margin:.2rem 0 1.1rem;
 letter-spacing:-.01em}
h2{font-size:1.5rem;font-weight:600;line-height:1.25;margin:0 0 .6rem}
h3{font-size:1.08rem;font-weight:600;margin:1.6rem 0 .4rem}
a{color:var(--accent)}
main,header,footer{max-width:68rem;margin:0 auto;padding:0 1.25rem}
header{padding-top:2.2rem}
section{border-top:1px solid var(--grid);padding:2rem 0 1.2rem;scroll-margin-top:1rem}
p,ul,ol{max-width:46rem}
.kicker{color:var(--muted);font-size:.9rem;margin:0}
.lead p{font-size:1.1rem;margin:.55rem 0;max-width:52rem}
.caption,.fine,.kicker,small{color:var(--muted)}
.caption{font-size:.88rem}
.fine{font-size:.8rem;line-height:1.35;font-weight:400}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;font-size:.84rem}
pre{overflow-x:auto;padding:.8rem 1rem;border:1px solid var(--grid);border-radius:6px;max-height:30rem}
code{overflow-wrap:anywhere}
:focus-visible{outline:3px solid var(--accent);outline-offset:2px;border-radius:3px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:.5rem;background:var(--paper);padding:.4rem .7rem;z-index:9}
nav{margin:1.6rem 0 1.8rem;font-size:.92rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.3rem 1.2rem;padding:0;margin:0;max-width:none}
.banner{background:var(--warm);color:var(--paper);font-weight:600;padding:.65rem 1.25rem;text-align:center}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(11.5rem,1fr));gap:1rem;margin:1.5rem 0;padding:0;
 list-style:none;max-width:none}
.tile{border-top:3px solid var(--accent);padding:.55rem 0 0}
.tile b{display:block;font-size:2rem;font-weight:600;line-height:1.15;font-variant-numeric:lining-nums}
.tile span{display:block;font-size:.88rem;color:var(--muted)}
.tile.warm{border-color:var(--warm)}
.tile.good{border-color:var(--good)}
.tile.plain{border-color:var(--faint)}
.cautions{list-style:none;padding:0;margin:1.2rem 0 0;max-width:none;display:grid;
 grid-template-columns:repeat(auto-fit,minmax(min(100%,21rem),1fr));gap:.7rem 1.4rem}
.cautions li{border-left:4px solid var(--faint);padding:.1rem 0 .1rem .8rem;font-size:.93rem}
.cautions li.caution,.cautions li.stop{border-color:var(--warm)}
.cautions b{display:block}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums lining-nums;font-size:.92rem}
th,td{text-align:left;vertical-align:top;padding:.5rem .6rem;border-bottom:1px solid var(--grid)}
thead th{vertical-align:bottom;font-weight:600;border-bottom:1.5px solid var(--muted);font-size:.86rem}
thead small{font-weight:400;display:block}
tbody th{font-weight:400}
caption{text-align:left;color:var(--muted);font-size:.88rem;padding:0 0 .4rem}
td.number,th.number{text-align:right}
.scroll{overflow-x:auto;-webkit-overflow-scrolling:touch}
.value{font-size:1.02rem;font-weight:600}
.formula{font-weight:600;overflow-wrap:anywhere}
.formula.small{font-size:.9rem}
.formula sub{font-size:.72em;line-height:0;font-weight:400}
.badge{display:inline-block;font-size:.78rem;font-weight:600;border:1.5px solid currentColor;border-radius:99px;
 padding:.02rem .55rem;white-space:nowrap}
.badge.good{color:var(--good)}
.badge.warm{color:var(--warm)}
.badge.plain{color:var(--muted);font-weight:400}
.alloy .badge{margin:.1rem .3rem}
.candidates td,.candidates th{white-space:nowrap}
.candidates .alloy,.candidates tbody td:not(.number){white-space:normal}
.candidates .alloy{min-width:12.5rem}
.candidates tbody td:not(.number){min-width:11rem}
.candidates tr.confirmed td:first-child{box-shadow:inset 4px 0 0 var(--good)}
.candidates thead button{font:inherit;font-weight:600;color:inherit;background:none;border:0;padding:0;
 cursor:pointer;text-align:inherit}
.candidates thead button:hover{color:var(--accent)}
th[aria-sort=ascending] button small::after{content:" \\25B2"}
th[aria-sort=descending] button small::after{content:" \\25BC"}
.candidate-box:has(#all-properties:checked) .alloy{position:sticky;left:0;background:var(--paper)}
.extra{display:none}
.candidate-box:has(#all-properties:checked) .extra{display:table-cell}
.candidate-box>label:not(.sorter){margin:0 1.2rem .8rem .3rem;display:inline-block;font-size:.92rem}
.sorter{display:none}
select{max-width:100%;font:inherit;color:inherit;background:var(--paper);border:1px solid var(--faint);
 border-radius:4px;padding:.2rem}
.pictures{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,24rem),1fr));gap:1.5rem}
.picture svg{width:100%;height:auto;display:block;overflow:visible}
.picture svg *{stroke-linejoin:round;stroke-linecap:butt}
.picture .narrow{display:none}
.pictures .wide{display:none}
.pictures .narrow{display:block}
figure{margin:1rem 0 1.2rem}
figcaption{font-size:.88rem;color:var(--muted);margin-top:.5rem;max-width:46rem}
.forest .track{position:absolute;inset:0 .6rem;
  background:linear-gradient(to right,var(--grid) 1px,transparent 1px) 0 0/25% 100%;
 border-right:1px solid var(--grid)}
.forest .plot{width:40%;padding:0 .6rem}
.forest .rate .fine{white-space:nowrap}
.forest td.plot{position:relative;min-width:9rem}
.forest thead .plot{padding-bottom:.2rem}
.scale{position:relative;height:1.1rem;font-weight:400;color:var(--muted);font-size:.78rem}
.scale span{position:absolute;white-space:nowrap;transform:translateX(-50%)}
.scale span:first-child{transform:none}
.scale span:last-child{transform:translateX(-100%)}
.track i{position:absolute;display:block}
.track .range{top:50%;height:4px;margin-top:-2px;background:var(--muted);border-radius:2px;min-width:2px}
.track .dot{width:11px;height:11px;top:50%;margin:-5.5px 0 0 -5.5px;background:var(--muted);border-radius:50%}
.track .top{top:0;bottom:-1px;border-left:2px dashed var(--plum)}
.own .range,.own .dot{background:var(--accent)}
.own .dot{border-radius:1px;transform:rotate(45deg) scale(1.1)}
.own .range{height:5px}
.own th,.own .rate{font-weight:600}
.forest .group th{padding-top:1.1rem;color:var(--muted);font-size:.84rem;font-weight:600;
 border-bottom:1px solid var(--faint)}
.funnel .bar{height:1.35rem;background:var(--accent);min-width:2px;border-radius:2px;opacity:.85}
.funnel td.plot{width:42%;vertical-align:middle}
.funnel .good .bar{background:var(--good)}
.funnel .bar.hollow{background:none;border:1.5px solid var(--accent)}
.small-bar{display:inline-block;height:.7rem;background:var(--accent);vertical-align:baseline;min-width:1px;
 border-radius:1px}
dl.facts{display:grid;grid-template-columns:minmax(9rem,max-content) 1fr;gap:.3rem 1.3rem;margin:0 0 1rem;
 font-size:.94rem}
dt{color:var(--muted)}
dd{margin:0;min-width:0;overflow-wrap:anywhere}
.goal-box{border:1px solid var(--grid);border-top:3px solid var(--good);padding:.3rem 1.1rem 1rem;margin:.8rem 0}
details{margin:.6rem 0}
summary{cursor:pointer;color:var(--accent)}
footer{padding-bottom:2.5rem;color:var(--muted);font-size:.88rem}
.warnings li{margin:.3rem 0}
@media screen and (max-width:46rem){
 header{padding-top:1.3rem}
 section{padding-top:1.5rem}
 .picture .wide{display:none}
 .picture .narrow{display:block}
 .sorter:not([hidden]){display:block}
 .scroll{overflow-x:visible}
 .candidates,.candidates tbody,.candidates tr,.candidates td,.candidates tbody th{display:block;width:auto;
  white-space:normal}
 .candidates thead{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
 .candidates tr{border:1px solid var(--grid);border-radius:8px;margin:0 0 .9rem;padding:.5rem .8rem}
 .candidates tr.confirmed{border-left:4px solid var(--good)}
 .candidates tr.confirmed td:first-child{box-shadow:none}
 .candidates td,.candidates tbody th{border:0;padding:.22rem 0;text-align:left;display:grid;
  grid-template-columns:7.2rem 1fr;gap:.6rem;min-width:0}
 .candidates td::before{content:attr(data-label);color:var(--muted);font-size:.85rem}
 .candidates tbody th.alloy{position:static!important;display:block;font-size:1.08rem}
 .candidates td:first-child{float:right}
 .candidates td:first-child::before{content:"No."}
 .candidates td:first-child{display:flex;gap:.3rem}
 .candidates .extra{display:none}
 .candidate-box:has(#all-properties:checked) .extra{display:grid}
 .stack,.stack tbody,.stack tr,.stack td,.stack th{display:block;width:auto;border:0;padding:.1rem 0}
 .stack thead{display:none}
 .stack tr{padding:.45rem 0;border-bottom:1px solid var(--grid)}
 .stack td.plot{width:100%;padding:.2rem 0}
 .forest .track{position:relative;inset:auto;height:1.5rem}
 .stack td[data-label]::before{content:attr(data-label) ": ";color:var(--muted)}
 .stack td.number,.stack .rate,.stack .rate .fine{display:inline-block;text-align:left;margin-right:1rem}
 .stack .rate{display:block}
 .rate .fine{margin:0 0 0 .6rem}
 .forest .group th{border:0;padding:.6rem 0 0}
 .candidates caption{display:block}
 .candidates td.number .fine{display:inline-block;margin-left:.7rem}
 dl.facts{grid-template-columns:1fr;gap:0}
 dd{margin-bottom:.5rem}
}
@media print{
 html{font-size:11.5px}
 body{background:none}
 main,header,footer{max-width:none;padding:0}
 header{padding-top:0}
 nav,.skip,.candidate-box>label,#all-properties{display:none!important}
 p,ul,ol,figcaption,.lead p{max-width:none}
 section{padding:1rem 0 .4rem}
 h2,h3{break-after:avoid}
 figure,tr,.tile,.goal-box,.cautions li,.forest,.funnel{break-inside:avoid}
 caption{break-after:avoid}
 .tiles{grid-template-columns:repeat(4,1fr)}
 .cautions{grid-template-columns:1fr 1fr}
 .pictures{grid-template-columns:1fr 1fr}
 thead{display:table-header-group}
 th,td{padding:.35rem .45rem}
 .scroll{overflow:visible}
 .candidates .alloy{min-width:0;width:24%}
 .candidates tbody td:not(.number){min-width:0}
 .forest .plot{width:34%}
 .forest tbody th{width:28%}
 *{-webkit-print-color-adjust:exact;print-color-adjust:exact}
 a{color:inherit;text-decoration:none}
 pre{max-height:none;white-space:pre-wrap}
 @page{size:A4;margin:14mm 13mm}
}
"""
)

# No "<" and no "&" in the script, so that the page stays well-formed as XML too.
SCRIPT = """
(function () {
  var table = document.getElementById("candidate-table");
  var choice = document.getElementById("sort-by");
  if (!table) { return; }
  var heads = Array.prototype.slice.call(table.querySelectorAll("thead th"));
  var body = table.tBodies[0];
  function key(row, column) {
    var text = row.cells[column].getAttribute("data-key");
    var number = Number(text);
    return { missing: text === "", text: text, number: number, numeric: !isNaN(number) };
  }
  function compare(a, b) {
    if (a.missing || b.missing) { return 0; }
    return a.numeric ? a.number - b.number : a.text.localeCompare(b.text);
  }
  function sort(column, order) {
    var sign = order === "ascending" ? 1 : -1;
    var rows = Array.prototype.slice.call(body.rows).map(function (row, place) {
      return { row: row, key: key(row, column), place: place };
    });
    rows.sort(function (a, b) {
      if (a.key.missing !== b.key.missing) { return a.key.missing ? 1 : -1; }
      return sign * compare(a.key, b.key) || a.place - b.place;
    });
    rows.forEach(function (item) { body.appendChild(item.row); });
    heads.forEach(function (head, i) { head.setAttribute("aria-sort", i === column ? order : "none"); });
    if (choice) { choice.value = String(column); }
  }
  heads.forEach(function (head, column) {
    head.querySelector("button").addEventListener("click", function (event) {
      var first = event.currentTarget.getAttribute("data-first");
      var now = head.getAttribute("aria-sort");
      var other = now === "ascending" ? "descending" : "ascending";
      sort(column, now === "none" ? first : other);
    });
  });
  if (choice) {
    choice.parentNode.hidden = false;
    choice.addEventListener("change", function () {
      var column = Number(choice.value);
      sort(column, heads[column].querySelector("button").getAttribute("data-first"));
    });
  }
})();
"""


def script_hash() -> str:
    """Hash by which the page's security policy lets this script, and no other, run."""
    return base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
