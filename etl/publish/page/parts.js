// What all sections are made of: rows of answers, words for numbers and times, panels and tables.
// Every number comes from an answer of sql/report, every text goes in as text.

const { made_at: madeAt, answers, pictures } = JSON.parse(document.getElementById("answers").textContent);

// The rows of an answer.
function rows(name) {
    const columns = Object.entries(answers[name]);
    return columns[0][1].map((_, at) => Object.fromEntries(columns.map(([column, values]) => [column, values[at]])));
}

// The rows by what `key` says of each, in the order in which they come.
function grouped(list, key) {
    const groups = new Map();
    for (const each of list) {
        const group = groups.get(key(each));
        if (group) group.push(each);
        else groups.set(key(each), [each]);
    }
    return groups;
}

const part = (section, selector) => document.querySelector(`#${section} ${selector}`);
const sum = (list, column) => list.reduce((total, each) => total + each[column], 0);
const number = (value, digits = 0) => value.toLocaleString("en-GB", { maximumFractionDigits: digits });
const tenths = (value) => value.toLocaleString("en-GB", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const counted = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;
const percent = (share, digits = 0) => `${number(100 * share, digits)} %`;
const words = (name) => name.replaceAll("_", " ");
// What people call it; an API may name things as what every object has, such as constructor.
const called = (names, name) => (Object.hasOwn(names, name) ? names[name] : words(name));
// Three digits, whatever the scale: shares and percentages stand side by side.
const rounded = (value) => (Math.abs(value) < 100 ? Number(value.toPrecision(3)) : Math.round(value));
const [zone] = answers.settings.time_zone;
// A browser may be older than the zone; it then tells times in UTC, and says so.
const plant = isZone(zone) ? zone : "UTC";
// A moment is told by the clock of the plant; a day is the same everywhere.
const zoneOf = (text) => (text.length > 10 ? plant : "UTC");
const date = (text) =>
    new Date(text).toLocaleDateString("en-GB", {
        day: "numeric",
        month: "long",
        year: "numeric",
        timeZone: zoneOf(text),
    });
const clock = (text) =>
    new Date(text).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: plant });
const moment = (text) => `${date(text)}, ${clock(text)} ${plant}`;
const period = (from, to) =>
    new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: zoneOf(from) })
        .formatRange(new Date(from), new Date(to));
const capital = (text) => text.replace(/^./u, (sign) => sign.toUpperCase());
const cell = (value) => (value === null ? "" : typeof value === "number" ? number(value, 4) : String(value));

function isZone(name) {
    try {
        return Boolean(new Intl.DateTimeFormat("en-GB", { timeZone: name }));
    } catch {
        return false;
    }
}

// How long ago, in the largest unit that fits.
function ago(hours) {
    if (hours < 1 / 60) return "less than a minute";
    if (hours < 1) return counted(Math.floor(hours * 60), "minute");
    return hours < 48 ? counted(Math.floor(hours), "hour") : counted(Math.floor(hours / 24), "day");
}

function element(name, text, kind = "") {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
}

// Names that tell what they name apart: with the id where two have the same.
function apartNames(list, id, name) {
    const same = grouped(list, (each) => each[name]);
    return new Map(
        list.map((each) => [
            each[id],
            same.get(each[name]).length > 1 ? `${each[name]} (${each[id]})` : each[name],
        ]),
    );
}

const APPLICATIONS = apartNames(rows("applications"), "application_id", "application");
const VIDEOS = apartNames(rows("videos"), "media_id", "video");

// The address of a page within this file; whatever stands in an id, it stays one part of it.
const address = (kind, id) => `#${kind}/${encodeURIComponent(id)}`;

// A name that leads to its page, where it has one.
function link(kind, id, text) {
    if (!(kind === "application" ? APPLICATIONS : VIDEOS).has(id)) return document.createTextNode(text);
    const made = element("a", text);
    made.href = address(kind, id);
    return made;
}

// Show what was found in a section, or leave the sentence that says there is nothing.
function found(section, list) {
    for (const each of document.querySelectorAll(`#${section} .panels`)) clear(each);
    for (const each of document.querySelectorAll(`#${section} :is(.answer, .cut)`)) each.replaceChildren();
    const details = part(section, "details");
    if (details) details.open = false;
    part(section, ".nothing").hidden = list.length > 0;
    part(section, ".found").hidden = list.length === 0;
    return list.length > 0;
}

function panel(container, title, subtitle, make, lead = title) {
    const figure = element("figure");
    const caption = element("figcaption");
    const chart = element("div", undefined, "chart");
    caption.append(lead);
    if (subtitle) caption.append(element("span", subtitle));
    figure.append(caption, chart);
    container.append(figure);
    show(chart, [title, subtitle].filter(Boolean).join(", "), make);
}

// A table; what `notes` holds for a line stands below it, as wide as the table.
function table(head, body, { title, notes = [] } = {}) {
    const made = element("table");
    const isNumber = (value) => typeof value === "number" || value?.className === "figure";
    const numeric = head.map((_, at) => body.some((line) => isNumber(line[at])));
    if (title) made.append(element("caption", title));
    const top = made.createTHead().insertRow();
    head.forEach((name, at) => {
        const cellMade = element("th", name, numeric[at] ? "number" : "");
        cellMade.scope = "col";
        top.append(cellMade);
    });
    const lines = made.createTBody();
    for (const [place, line] of body.entries()) {
        const row = lines.insertRow();
        line.forEach((value, at) => {
            const cellMade = at ? element("td") : element("th");
            if (!at) cellMade.scope = "row";
            if (numeric[at]) cellMade.className = "number";
            cellMade.append(value instanceof Node ? value : cell(value));
            row.append(cellMade);
        });
        if (!notes[place]) continue;
        const note = element("td", notes[place]);
        note.colSpan = head.length;
        lines.insertRow().append(note);
        lines.lastChild.className = "note";
    }
    return made;
}

// Put a table where it scrolls by itself, by finger and by keys, and the page does not.
function spread(container, title, made) {
    container.replaceChildren(made);
    container.tabIndex = 0; // for the keys that scroll
    container.setAttribute("role", "region");
    container.setAttribute("aria-label", title);
}

// The numbers behind a chart, for those who cannot see it and those who want them exactly; made when asked for.
function numbers(section, title, head, tell) {
    const details = part(section, "details");
    const fill = () => {
        if (details.open) spread(part(section, "details .sheet"), title, table(head, tell(), { title }));
    };
    details.ontoggle = fill;
    fill();
}

const SIGNS = { ok: "✓", failed: "✕", late: "!", running: "…", off: "–" };

const mark = (state, text = ` ${state}`) => element("span", `${SIGNS[state] ?? ""}${text}`, `state ${state}`);
