"use strict";
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // Light, dark, or as the system has it. A page opened from a file may not be allowed to remember.
  const remember = (theme) => { try { localStorage.setItem("schism-theme", theme); } catch { /* not allowed: fine */ } };
  const remembered = () => { try { return localStorage.getItem("schism-theme"); } catch { return null; } };
  const themes = ["auto", "light", "dark"];
  const button = byId("theme");
  const show = (theme) => {
    if (theme === "auto") { delete root.dataset.theme; } else { root.dataset.theme = theme; }
    button.textContent = "Theme: " + theme;
  };
  let theme = themes.includes(remembered()) ? remembered() : "auto";
  show(theme);
  button.hidden = false;
  button.addEventListener("click", () => {
    theme = themes[(themes.indexOf(theme) + 1) % themes.length];
    show(theme);
    remember(theme);
  });

  const copy = byId("copy");
  if (copy) {
    copy.hidden = false;
    copy.addEventListener("click", async () => {
      const command = byId("repeat-command");
      try {
        await navigator.clipboard.writeText(command.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(command);
        copy.textContent = "Selected";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
  }

  // Figures of the slice of time under the pointer.
  const figures = JSON.parse(byId("figures").textContent);
  const box = document.createElement("div");
  box.id = "hover";
  box.hidden = true;
  document.body.append(box);
  const span = (us) => us < 1000 ? us + " µs" : us < 1e6 ? (us / 1000).toPrecision(3) + " ms" : (us / 1e6).toPrecision(3) + " s";
  const told = (ns) => {
    const place = Math.min(Math.floor(ns / figures.width_ns), figures.buckets.length - 1);
    const [ok, fail, info, latency] = figures.buckets[place];
    const per = (n) => (n / (figures.width_ns / 1e9)).toLocaleString("en", { maximumFractionDigits: 1 }) + "/s";
    const lines = [(ns / 1e9).toFixed(figures.width_ns < 1e8 ? 3 : 1) + " s", `ok ${per(ok)}, fail ${per(fail)}, info ${per(info)}`];
    if (latency) { lines.push(`p50 ${span(latency[0])}, p95 ${span(latency[1])}, p99 ${span(latency[2])}`); }
    for (const [start, end, name] of figures.faults) {
      if (start <= ns && ns <= end) { lines.push(name); }
    }
    return lines.slice(0, 9).join("\n");
  };
  for (const plot of document.querySelectorAll("svg.plot")) {
    const at = ["x0", "x1", "y0", "y1"].map((name) => Number(plot.dataset[name]));
    const [x0, x1, y0, y1] = at;
    const line = document.createElementNS("http://www.w3.org/2000/svg", "line");
    line.setAttribute("class", "pointer");
    line.setAttribute("y1", y0);
    line.setAttribute("y2", y1);
    const hide = () => { box.hidden = true; line.remove(); };
    plot.addEventListener("pointermove", (event) => {
      const frame = plot.getBoundingClientRect();
      const x = (event.clientX - frame.left) / frame.width * plot.viewBox.baseVal.width;
      if (x < x0 || x > x1) { hide(); return; }
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      plot.append(line);
      box.textContent = told((x - x0) / (x1 - x0) * figures.end_ns);
      box.hidden = false;
      const left = Math.min(event.clientX + 14, root.clientWidth - box.offsetWidth - 8);
      box.style.left = Math.max(left, 4) + scrollX + "px";
      box.style.top = event.clientY + scrollY + 16 + "px";
    });
    plot.addEventListener("pointerleave", hide);
  }
})();
