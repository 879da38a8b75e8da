"use strict";

// Drawing. A chart is a function of its width: it is drawn anew for a narrow window, in the dark and on paper.

const charts = new Map();
const pen = document.createElement("canvas").getContext("2d");
const quiet = { displayModeBar: false, doubleClick: false, responsive: false, showTips: false };

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// The library reads tags, formulas and templates in its texts; here a text is a text.
const literal = (text) => String(text).replaceAll(/[&<>$%{}]/g, (sign) => `&#${sign.codePointAt(0)};`);

// As much of a text as there is room for, ready to be drawn.
function fitted(text, room, size) {
    pen.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
    let signs = [...String(text)];
    if (pen.measureText(signs.join("")).width > room) {
        while (signs.length && pen.measureText(`${signs.join("")}…`).width > room) signs.pop();
        signs.push("…");
    }
    return literal(signs.join(""));
}

// Charts that are still to be drawn: those in sight come first, the others one by one, so that the page is there at once.
const pending = new Set();
let timer = 0;

function later() {
    if (timer || !window.Plotly) return;
    timer = setTimeout(() => {
        timer = 0;
        const [next] = pending;
        if (next) draw(next);
        if (pending.size) later();
    });
}

// Show a chart in an element. `make` tells its traces and layout for a width, `label` is for those who cannot see it.
function show(target, label, make) {
    target.setAttribute("role", "img");
    target.setAttribute("aria-label", label);
    target.style.height = `${make(target.clientWidth).layout.height}px`; // so that nothing moves when it is drawn
    charts.set(target, make);
    pending.add(target);
    later();
}

function draw(target) {
    pending.delete(target);
    if (!window.Plotly || !target.clientWidth || !charts.has(target)) return;
    const { traces, layout } = charts.get(target)(target.clientWidth);
    target.style.height = `${layout.height}px`;
    const axis = { fixedrange: true, showgrid: false, zeroline: false, tickangle: 0, automargin: false };
    const { xaxis, yaxis, ...others } = layout;
    window.Plotly.react(
        target,
        traces,
        {
            width: target.clientWidth,
            paper_bgcolor: "transparent",
            plot_bgcolor: "transparent",
            font: { family: getComputedStyle(document.body).fontFamily, size: 11, color: colour("muted") },
            hoverlabel: {
                bgcolor: colour("ink"),
                bordercolor: colour("ink"),
                font: { color: colour("paper"), size: 12 },
            },
            dragmode: false,
            showlegend: false,
            ...others,
            xaxis: { ...axis, ...xaxis },
            yaxis: { ...axis, gridcolor: colour("line"), ...yaxis },
        },
        quiet,
    );
}

// Draw all charts anew: at once those in sight, or every one.
function redraw(isSeen = (target) => target.getBoundingClientRect().top < window.innerHeight) {
    for (const target of charts.keys()) {
        if (target.isConnected) pending.add(target);
        else forget(target);
    }
    for (const target of [...pending].filter(isSeen)) draw(target);
    later();
}

const drawAll = () => redraw(() => true);

function forget(target) {
    pending.delete(target);
    charts.delete(target);
    if (window.Plotly && target.data) window.Plotly.purge(target);
}

// Take the charts out of an element, and what the library keeps of them.
function clear(container) {
    for (const target of container.querySelectorAll(".chart")) forget(target);
    container.replaceChildren();
}

// What an axis that stands measures: lying above it, where it is read without turning the head.
const above = (text, left) => ({
    text: literal(text),
    xref: "paper",
    x: 0,
    xanchor: "left",
    xshift: -left,
    yref: "paper",
    y: 1,
    yanchor: "bottom",
    yshift: 4,
    showarrow: false,
});

const under = (text) => (text ? { text, standoff: 3, font: { size: 11 } } : {});

// Columns along an axis of days or of probabilities; `limit` is a line that stands among them, with its label.
function columns({ x, y, width, axis, hover, unit, limit }) {
    const left = 34;
    const isInside = limit && limit.at >= 0 && limit.at <= 1;
    const line = () => ({
        type: "line",
        x0: limit.at,
        x1: limit.at,
        yref: "paper",
        y0: 0,
        y1: 1.04,
        line: { color: colour("mark"), width: 1.5, dash: "4px,3px" },
    });
    const label = () => ({
        text: literal(limit.label),
        x: limit.at,
        xanchor: limit.at < 0.35 ? "left" : limit.at > 0.65 ? "right" : "center",
        yref: "paper",
        y: 1.04,
        yanchor: "bottom",
        showarrow: false,
        font: { color: colour("mark") },
    });
    return () => ({
        traces: [{ type: "bar", x, y, width, marker: { color: colour("accent") }, hovertemplate: hover }],
        layout: {
            height: (axis.title ? 140 : 125) + (limit ? 16 : 0),
            margin: { l: left, r: 12, t: limit ? 36 : 20, b: axis.title ? 34 : 20 },
            bargap: 0.2,
            annotations: [{ ...above(unit, left), yshift: limit ? 18 : 4 }, ...(isInside ? [label()] : [])],
            shapes: isInside ? [line()] : [],
            xaxis: { ...axis, title: under(axis.title) },
            yaxis: { showgrid: true, rangemode: "tozero", nticks: 3, tickformat: ",~s" },
        },
    });
}

// One line, with a mark on it where there is something to see.
function line({ x, y, mark, axis, yRange, yUnit, unit }) {
    const left = 34;
    return () => ({
        traces: [
            {
                type: "scatter",
                mode: y.length > 1 ? "lines" : "markers",
                x,
                y,
                line: { color: colour("accent"), width: 1.8 },
                marker: { color: colour("accent"), size: 6 },
                hovertemplate: `%{y:.4~g} at ${unit} %{x:d}<extra></extra>`,
            },
            {
                type: "scatter",
                mode: "markers",
                x: mark === undefined ? [] : [mark],
                y: mark === undefined ? [] : [y[x.indexOf(mark)]],
                marker: { color: colour("mark"), size: 8 },
                hoverinfo: "skip",
            },
        ],
        layout: {
            height: 160,
            margin: { l: left, r: 12, t: 20, b: 34 },
            hovermode: "x",
            annotations: [above(yUnit, left)],
            xaxis: { nticks: 6, ...axis, title: under(axis.title) },
            yaxis: { showgrid: true, range: yRange, nticks: 4 },
        },
    });
}

// Heights at which labels stand beside ends of lines, apart from each other: in pixels from below, lowest first.
function apart(heights, gap) {
    const order = heights.map((height, place) => ({ height, place })).sort((one, other) => one.height - other.height);
    let least = -Infinity;
    for (const each of order) {
        each.height = least = Math.max(each.height, least + gap);
    }
    return order.sort((one, other) => one.place - other.place).map((each) => each.height);
}

// A control chart: a rate day by day, its moving mean, and the limits that it keeps within unless something happens.
function control({ days, rates, means, lower, upper, center, out, hover, axis }) {
    const [left, right, top, below, height] = [34, 66, 20, 20, 145];
    const most = Math.min(1, 1.08 * Math.max(...upper, ...rates, 0.01));
    const steps = (y, more) => ({
        type: "scatter",
        mode: "lines",
        x: days,
        y,
        line: { color: colour("limit"), width: 1, shape: "hvh", dash: "2px,2px" },
        hoverinfo: "skip",
        ...more,
    });
    const dots = (chosen, marker) => ({
        type: "scatter",
        mode: "markers",
        cliponaxis: false, // a day at 0 or 100 % is whole
        x: days.filter((_, at) => chosen(at)),
        y: rates.filter((_, at) => chosen(at)),
        customdata: hover.filter((_, at) => chosen(at)).map(literal),
        hovertemplate: "%{customdata}<extra></extra>",
        marker,
    });
    const ends = [
        { text: "upper limit", at: upper.at(-1), name: "muted" },
        { text: "mean", at: center, name: "muted" },
        ...(lower.at(-1) > 0 ? [{ text: "lower limit", at: lower.at(-1), name: "muted" }] : []),
    ];
    const heights = apart(ends.map((end) => (end.at / most) * (height - top - below)), 12);
    return () => ({
        traces: [
            steps(lower),
            steps(upper, { fill: "tonexty", fillcolor: colour("band") }),
            steps(days.map(() => center), { line: { color: colour("muted"), width: 1 } }),
            steps(means, { line: { color: colour("accent"), width: 2 } }),
            dots((at) => !out[at], { color: colour("accent"), size: 5 }),
            dots((at) => out[at], { color: colour("mark"), size: 10, symbol: "diamond" }),
        ],
        layout: {
            height,
            margin: { l: left, r: right, t: top, b: below },
            annotations: [
                above("% of media", left),
                ...ends.map((end, place) => ({
                    text: literal(end.text),
                    xref: "paper",
                    x: 1,
                    xanchor: "left",
                    xshift: 4,
                    yref: "paper",
                    y: 0,
                    yanchor: "middle",
                    yshift: heights[place],
                    showarrow: false,
                    font: { size: 11, color: colour(end.name) },
                })),
            ],
            xaxis: axis,
            yaxis: { showgrid: true, range: [0, most], nticks: 4, tickformat: ".0%", ticksuffix: "" },
        },
    });
}

// Bars that lie, each under its name, with its value at the right; a bar can have several parts, or gaps.
function bars({ rows, parts, xRange, axis }) {
    const [row, size] = [40, 13];
    const [side, below] = axis ? [10, 38] : [0, 0]; // room for the labels of the axis
    const words = (text, at, y, name) => ({
        text,
        x: at,
        xref: "paper",
        xanchor: at ? "right" : "left",
        y,
        yanchor: "bottom",
        xshift: at ? side + 2 : -side - 2,
        yshift: 7,
        showarrow: false,
        font: { size, color: colour(name) },
    });
    return (width) => ({
        traces: parts.map((part) => ({
            type: "bar",
            orientation: "h",
            x: part.lengths,
            y: part.places,
            base: part.starts,
            width: 0.26,
            marker: {
                color: colour(part.colour),
                line: { color: colour("paper"), width: part.starts ? 0 : 1 },
                pattern: {
                    shape: part.hatched ? "/" : "",
                    fgcolor: colour("paper"),
                    fillmode: "overlay",
                    size: 5,
                    solidity: 0.2,
                },
            },
            customdata: part.hover.map(literal),
            hovertemplate: "%{customdata}<extra></extra>",
        })),
        layout: {
            height: rows.length * row + below,
            margin: { l: side, r: side, t: 0, b: below },
            barmode: parts[0].starts ? "overlay" : "stack",
            annotations: rows.flatMap(({ name, value }, place) => {
                pen.font = `${size}px ${getComputedStyle(document.body).fontFamily}`;
                const room = width - pen.measureText(value).width - 16;
                return [words(fitted(name, room, size), 0, place, "ink"), words(literal(value), 1, place, "muted")];
            }),
            xaxis: axis
                ? { range: xRange, ...axis, title: under(axis.title) }
                : { range: xRange, visible: false },
            yaxis: { range: [rows.length - 0.65, -0.65], visible: false },
        },
    });
}

// The library comes packed, for it is large.
async function unpacked(id) {
    const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (sign) => sign.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}

async function startDrawing(id) {
    if (window.Plotly) return;
    const script = document.createElement("script");
    script.textContent = await unpacked(id);
    document.head.append(script);
    redraw();
    let width = document.body.clientWidth;
    new ResizeObserver(() => {
        if (width === document.body.clientWidth) return;
        width = document.body.clientWidth;
        requestAnimationFrame(() => redraw());
    }).observe(document.body);
    window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw());
    window.matchMedia("print").addEventListener("change", drawAll);
}
