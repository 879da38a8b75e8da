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

// Show a chart in an element. `make` tells its traces and layout for a width, `label` is for those who cannot see it.
function show(target, label, make) {
    target.setAttribute("role", "img");
    target.setAttribute("aria-label", label);
    charts.set(target, make);
    draw(target);
}

function draw(target) {
    if (!window.Plotly || !target.clientWidth) return;
    const { traces, layout } = charts.get(target)(target.clientWidth);
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

function redraw() {
    for (const target of charts.keys()) {
        if (target.isConnected) draw(target);
        else charts.delete(target);
    }
}

// Columns along an axis of days or of probabilities.
function columns({ x, y, width, axis, hover }) {
    return () => ({
        traces: [{ type: "bar", x, y, width, marker: { color: colour("accent") }, hovertemplate: hover }],
        layout: {
            height: 110,
            margin: { l: 34, r: 12, t: 8, b: 20 },
            bargap: 0.2,
            xaxis: axis,
            yaxis: { showgrid: true, rangemode: "tozero", nticks: 3, tickformat: ",~s" },
        },
    });
}

// One line, with a mark on it where there is something to see.
function line({ x, y, mark, axis, yRange, unit }) {
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
            height: 130,
            margin: { l: 34, r: 12, t: 8, b: 20 },
            hovermode: "x",
            xaxis: { nticks: 6, ...axis },
            yaxis: { showgrid: true, range: yRange, nticks: 4 },
        },
    });
}

// Bars that lie, each under its name, with its value at the right; a bar can have several parts, or gaps.
function bars({ rows, parts, xRange, axis }) {
    const [row, size] = [46, 13];
    const [side, below] = axis ? [10, 24] : [0, 0]; // room for the labels of the axis
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
            xaxis: axis ? { range: xRange, ...axis } : { range: xRange, visible: false },
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
    const script = document.createElement("script");
    script.textContent = await unpacked(id);
    document.head.append(script);
    redraw();
    let width = document.body.clientWidth;
    new ResizeObserver(() => {
        if (width === document.body.clientWidth) return;
        width = document.body.clientWidth;
        requestAnimationFrame(redraw);
    }).observe(document.body);
    for (const condition of ["(prefers-color-scheme: dark)", "print"]) {
        window.matchMedia(condition).addEventListener("change", redraw);
    }
}
