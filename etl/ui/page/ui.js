"use strict";

// Every text from outside goes through textContent: none of it is ever read as HTML.

const NUMBERS = /^(U?(TINY|SMALL|BIG|HUGE)INT|U?INTEGER|FLOAT|DOUBLE|DECIMAL|BIGNUM)/;
const byId = (id) => document.getElementById(id);
const query = byId("query");
let working = null;

function made(name, text = "", className = "") {
    const element = document.createElement(name);
    element.textContent = text;
    if (className) element.className = className;
    return element;
}

async function post(where, body) {
    const answer = await fetch(where, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
    });
    if (!answer.ok) throw new Error(await answer.text());
    return answer;
}

function reason(error) {
    return error instanceof TypeError ? "The server has ended: start `sightglass ui` again." : error.message;
}

function showError(text) {
    byId("error").textContent = text;
    byId("error").hidden = !text;
}

function busy(key, what = "") {
    working = key;
    for (const id of ["run", "csv", "parquet"]) byId(id).disabled = key !== null;
    byId("stop").disabled = key === null;
    byId("said").textContent = what;
}

async function answered(what, work) {
    if (working !== null) return;
    const key = crypto.randomUUID();
    remember();
    showError("");
    busy(key, `${what}…`);
    let said = "";
    try {
        said = await work(key);
    } catch (error) {
        showError(reason(error));
    } finally {
        busy(null, said);
    }
}

// A query that is too long for an address, or is run too often, is run all the same.
function remember() {
    try {
        history.replaceState(null, "", `#q=${encodeURIComponent(query.value)}`);
    } catch (error) {
        console.debug(error);
    }
}

function run() {
    return answered("Running", async (key) => {
        byId("answer").hidden = true;
        const answer = await (await post("ask", { key, query: query.value })).json();
        showAnswer(answer);
        const rows = `${answer.rows.length.toLocaleString("en")} ${answer.rows.length === 1 ? "row" : "rows"}`;
        const cut = answer.is_all ? "" : "; there are more: these are the first, a download has all";
        return `${rows} in ${answer.seconds.toLocaleString("en")} s${cut}`;
    });
}

function download(form) {
    return answered("Writing the file", async (key) => {
        const content = await (await post("download", { key, query: query.value, form })).blob();
        const link = made("a");
        link.href = URL.createObjectURL(content);
        link.download = `answer.${form}`;
        link.click();
        URL.revokeObjectURL(link.href);
        return `answer.${form}: ${content.size.toLocaleString("en")} bytes`;
    });
}

function stop() {
    if (working === null) return;
    byId("said").textContent = "Stopping…";
    post("stop", { key: working }).catch((error) => showError(reason(error)));
}

function showAnswer(answer) {
    const table = made("table");
    const head = table.createTHead().insertRow();
    const isNumber = answer.columns.map((column) => NUMBERS.test(column.type) && !column.type.endsWith("]"));
    answer.columns.forEach((column, at) => {
        const cell = made("th", column.name, isNumber[at] ? "number" : "");
        cell.scope = "col";
        cell.append(made("span", column.type, "type"));
        head.append(cell);
    });
    const body = table.createTBody();
    for (const row of answer.rows) {
        const line = body.insertRow();
        row.forEach((value, at) => {
            const cell = line.insertCell();
            cell.textContent = value ?? "NULL";
            if (value === null) cell.className = "null";
            if (isNumber[at]) cell.classList.add("number");
            if (value !== null && value.length > 40) cell.title = value.slice(0, 2000);
        });
    }
    byId("answer").replaceChildren(table);
    byId("answer").hidden = false;
}

function quoted(name) {
    return /^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`;
}

function entry(table) {
    const details = made("details");
    details.append(made("summary", table.table));
    details.dataset.sought = [table.schema, table.table, ...table.columns.map((each) => each.name)].join(" ").toLowerCase();
    if (table.about) details.append(made("p", table.about, "quiet"));
    const look = made("button", "Look at its first rows");
    look.type = "button";
    look.addEventListener("click", () => {
        query.value = `FROM ${quoted(table.schema)}.${quoted(table.table)} LIMIT 100`;
        run();
    });
    const columns = made("dl");
    for (const column of table.columns) {
        const name = made("dt", column.name);
        name.append(" ", made("span", column.type, "type"));
        columns.append(name);
        if (column.about) columns.append(made("dd", column.about));
    }
    details.append(look, columns);
    return details;
}

async function showTables() {
    const place = byId("tables");
    try {
        const answer = await fetch("catalog");
        if (!answer.ok) throw new Error(await answer.text());
        let part = null;
        for (const table of await answer.json()) {
            if (part === null || part.dataset.schema !== table.schema) {
                part = made("section");
                part.dataset.schema = table.schema;
                part.append(made("h2", table.schema));
                place.append(part);
            }
            part.append(entry(table));
        }
    } catch (error) {
        place.append(made("p", reason(error), "error"));
    }
    place.removeAttribute("aria-busy");
}

function seek() {
    const sought = byId("sought").value.trim().toLowerCase();
    for (const part of byId("tables").children) {
        const found = [...part.querySelectorAll("details")];
        for (const each of found) each.hidden = !each.dataset.sought.includes(sought);
        part.hidden = found.every((each) => each.hidden);
    }
}

function takeQuery() {
    const given = new URLSearchParams(location.hash.slice(1)).get("q");
    if (given) query.value = given;
}

byId("run").addEventListener("click", run);
byId("stop").addEventListener("click", stop);
byId("csv").addEventListener("click", () => download("csv"));
byId("parquet").addEventListener("click", () => download("parquet"));
byId("sought").addEventListener("input", seek);
query.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
        event.preventDefault();
        run();
    }
});
window.addEventListener("hashchange", takeQuery);
takeQuery();
query.focus();
showTables();
