"use strict";
// Figures are drawn when they come into view, in the page's own colours; plotly is unpacked for the first of them.
(() => {
  const packed = document.getElementById("plotly");
  let plotly = null;

  async function unpack() {
    const bytes = Uint8Array.from(atob(packed.textContent), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const script = document.createElement("script");
    script.textContent = await new Response(stream).text();
    document.head.append(script);
    return window.Plotly;
  }

  function colours() {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    const axis = { color: of("--dim"), gridcolor: of("--line"), zerolinecolor: of("--line"), linecolor: of("--line") };
    return {
      "font.color": of("--text"), "font.family": "system-ui, sans-serif", "font.size": 12,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      colorway: ["--c1", "--c2", "--c3", "--c4", "--c5"].map(of),
      ...Object.fromEntries(["xaxis", "yaxis"].flatMap((name) => Object.entries(axis).map(([k, v]) => [`${name}.${k}`, v]))),
      scale: [[0, of("--line")], [1, of("--c1")]],
    };
  }

  function put(object, path, value) {
    const names = path.split(".");
    const last = names.pop();
    for (const name of names) object = object[name] ??= {};
    object[last] = value;
  }

  async function draw(place) {
    place.dataset.drawn = "begun";
    plotly ??= unpack();
    const figure = JSON.parse(document.getElementById(place.dataset.figure).textContent);
    const { scale, ...layout } = colours();
    for (const [path, value] of Object.entries(layout)) put(figure.layout, path, value);
    for (const trace of figure.data) if (trace.type === "heatmap") trace.colorscale = scale;
    if (place.clientWidth < 500) put(figure.layout, "yaxis.tickfont.size", 9);
    const library = await plotly;
    await library.react(place, figure.data, figure.layout, { responsive: true, displayModeBar: false });
    place.dataset.drawn = "done";
  }

  const places = [...document.querySelectorAll("[data-figure]")];
  const seen = new IntersectionObserver((entries) => {
    for (const entry of entries) if (entry.isIntersecting) { seen.unobserve(entry.target); draw(entry.target); }
  }, { rootMargin: "600px" });
  for (const place of places) seen.observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const place of places) if (place.dataset.drawn === "done") draw(place);
  });

  // A link to something inside a closed test opens it.
  function reveal() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let each = target; each; each = each.parentElement) if (each.tagName === "DETAILS") each.open = true;
    if (target) target.scrollIntoView();
  }
  addEventListener("hashchange", reveal);
  reveal();

  const filter = document.getElementById("filter");
  filter?.addEventListener("input", () => {
    const wanted = filter.value.toLowerCase();
    for (const test of document.querySelectorAll("details.test"))
      test.hidden = !test.querySelector("summary").textContent.toLowerCase().includes(wanted);
  });
})();
