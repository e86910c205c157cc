"""Rules that only the page of a sweep needs."""

SWEEP_STYLE = """
.elements{width:100%;height:auto;display:block;font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.elements text{font-size:15px}
.elements .b{font-weight:600;font-size:17px}
.elements .n{font-size:13.5px;font-variant-numeric:tabular-nums}
.elements .halo{paint-order:stroke;stroke:var(--paper);stroke-width:4px}
.bases{display:none;list-style:none;padding:0;margin:0;max-width:none;
 grid-template-columns:repeat(auto-fill,minmax(5.4rem,1fr));gap:.35rem}
.bases li{border:1px solid var(--grid);border-radius:5px;padding:.25rem .5rem;font-variant-numeric:tabular-nums}
.key{display:flex;flex-wrap:wrap;gap:.3rem 1.4rem;max-width:none;font-size:.88rem;color:var(--muted)}
.key i{display:inline-block;width:1.1rem;height:1.1rem;border:1px solid var(--faint);border-radius:3px;
 vertical-align:-.2rem;margin-right:.15rem}
.key .none{background:color-mix(in srgb,var(--warm) 12%,transparent);border-color:var(--warm);margin-right:.4rem}
.key .pending{border-style:dashed;border-color:var(--muted);margin-right:.4rem}
.key .hatched{background:repeating-linear-gradient(135deg,var(--faint) 0 2px,transparent 2px 5px);margin-right:.4rem}
.cards caption{max-width:46rem}
.total th,.total td{border-top:1.5px solid var(--muted);font-weight:600}
.stopped{color:var(--muted)}
#fronts figure h3{margin:0}
#fronts .pictures figure{margin:0}
@media screen and (max-width:46rem){
 .periodic{display:none}
 .bases{display:grid}
 .key span:nth-child(5){display:none}
 .cards tr{display:grid;grid-template-columns:1fr 1fr;gap:0 1rem;padding:.7rem 0}
 .cards tbody th{grid-column:1/-1;font-size:1.02rem}
 .cards td:not(.number){grid-column:1/-1}
 .cards td.number,.cards td.number .fine{margin-right:0}
 .cards td .fine{display:inline-block;margin-left:.35rem}
 .cards caption{display:block}
}
@media print{.cards{font-size:.8rem}}
"""
