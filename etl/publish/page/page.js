// Filling the page: every number in it comes from an answer of sql/report, every text goes in as text.

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
const percent = (share) => `${number(100 * share)} %`;
const words = (name) => name.replaceAll("_", " ");
// Three digits, whatever the scale: shares and percentages stand side by side.
const rounded = (value) => (Math.abs(value) < 100 ? Number(value.toPrecision(3)) : Math.round(value));
const [plant] = answers.settings.time_zone;
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

function element(name, text, kind = "") {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (kind) made.className = kind;
    return made;
}

// Show what was found in a section, or leave the sentence that says there is nothing.
function found(section, list) {
    part(section, ".nothing").hidden = list.length > 0;
    part(section, ".found").hidden = list.length === 0;
    return list.length > 0;
}

function panel(container, title, subtitle, make) {
    const figure = element("figure");
    const caption = element("figcaption", title);
    const chart = element("div", undefined, "chart");
    if (subtitle) caption.append(element("span", subtitle));
    figure.append(caption, chart);
    container.append(figure);
    show(chart, `${title}, ${subtitle}`, make);
}

// A table; what `notes` holds for a line stands below it, as wide as the table.
function table(head, body, { title, notes = [] } = {}) {
    const made = element("table");
    const numeric = head.map((_, at) => body.some((line) => typeof line[at] === "number"));
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

// The numbers behind a chart, for those who cannot see it and those who want them exactly; made when asked for.
function numbers(section, title, tell) {
    const details = part(section, "details");
    const fill = () => {
        if (!details.open) return;
        const { head, body } = tell();
        const sheet = part(section, "details .sheet");
        sheet.replaceChildren(table(head.map(words), body, { title }));
        sheet.tabIndex = 0; // for the keys that scroll
        sheet.setAttribute("role", "region");
        sheet.setAttribute("aria-label", title);
    };
    details.ontoggle = fill;
    fill();
}

const whole = (name, chosen = () => true) => () => ({
    head: Object.keys(answers[name]),
    body: rows(name).filter(chosen).map(Object.values),
});

const SIGNS = { ok: "✓", failed: "✕", late: "!", running: "…", off: "–" };

const mark = (state, text = ` ${state}`) => element("span", `${SIGNS[state] ?? ""}${text}`, `state ${state}`);

function fillHeader() {
    const [covered] = rows("covered");
    const told = [];
    if (covered.detections) {
        const seen = counted(covered.detections, "detection");
        const where = counted(covered.applications, "application");
        const when = covered.first_detection_at && period(covered.first_detection_at, covered.last_detection_at);
        told.push([`${seen} in ${where}`, when].filter(Boolean).join(", "));
    }
    if (covered.images + covered.videos) {
        const media = `${counted(covered.videos, "video")} and ${counted(covered.images, "image")}`;
        const when = covered.first_media_at && `handed in ${period(covered.first_media_at, covered.last_media_at)}`;
        told.push([`predictions for ${media}`, when].filter(Boolean).join(", "));
    }
    document.getElementById("covered").textContent = told.length
        ? capital(`${told.join("; ")}.`)
        : "Nothing has been loaded yet.";
    document.getElementById("made").textContent = `Made by Sightglass on ${moment(madeAt)}.`;
}

function fillHealth() {
    const streams = rows("health");
    const [run] = rows("last_run");
    if (!found("health", run ? [run] : [])) return;
    const all = streams[0]?.streams ?? 0;
    part("health", ".answer").append(...verdict(run, streams[0] ?? {}, all));
    document.getElementById("last-run").textContent = `${lastRun(run)} ${weekOf(run)}`;
    const head = ["Stream", "State", "Last loaded", "Newest record"];
    const sheet = table(head, streams.map(streamLine), { notes: streams.map(streamNote) });
    document.getElementById("streams").append(sheet);
    if (all > streams.length) {
        part("health", ".cut").textContent =
            `The ${streams.length} of ${number(all)} streams that need a look most are listed.`;
    }
}

function verdict(run, { failed_streams: failed, late_streams: late }, all) {
    const troubles = [
        failed && `${number(failed)} failed`,
        late && `${number(late)} ${late === 1 ? "is" : "are"} late`,
    ].filter(Boolean);
    if (troubles.length) {
        return [mark(failed ? "failed" : "late", ""), ` Of ${counted(all, "stream")}, ${troubles.join(" and ")}.`];
    }
    if (run.is_late) return [mark("late", ""), " The streams are well, but no run has begun for more than a day."];
    if (!["ok", "running"].includes(run.status)) {
        return [mark("failed", ""), " The streams are well, but not the last run."];
    }
    return [mark("ok", ""), ` ${all === 1 ? "The only stream is" : `All ${number(all)} streams are`} up to date.`];
}

function lastRun(run) {
    const endings = { ok: "ended well", partial: "left something out", failed: "failed", running: "has not ended yet" };
    const when = `${moment(run.started_at)}${run.is_late ? ", more than a day before this report was made," : ""}`;
    const code = run.exit_code ? ` (exit code ${run.exit_code})` : "";
    return `The last run began on ${when} and ${endings[run.status] ?? run.status}${code}.`;
}

function weekOf({ runs_of_the_week: all, not_ok_of_the_week: bad }) {
    const how = bad ? `${number(bad)} of which did not end well` : "none of which ended badly";
    return `${counted(all, "run")} in the week up to it, ${how}.`;
}

function streamLine(stream) {
    const name = element("span", `${stream.source} ${words(stream.stream)} `);
    if (stream.part) name.append(element("small", stream.part));
    return [name, mark(stream.state), loaded(stream), brief(stream.newest_record_at, "–")];
}

// When a stream was loaded, and how long that was ago when the report was made: no run shows up as age.
function loaded({ last_good_at: at, age_hours: hours }) {
    const told = brief(at, "never");
    if (at !== null && hours >= 1) {
        const ago = hours < 48 ? `${Math.floor(hours)} h ago` : `${Math.floor(hours / 24)} days ago`;
        told.append(" ", element("small", ago, "together"));
    }
    return told;
}

function streamNote({ refused, missing, state, error }) {
    const open = [refused && `${number(refused)} refused`, missing && `${number(missing)} missing`];
    return [...open, state === "failed" && error].filter(Boolean).join("; ");
}

// A time in little space: the year only where it is not that of the report.
function brief(text, otherwise) {
    if (text === null) return otherwise;
    const year = text.slice(0, 4) === madeAt.slice(0, 4) ? undefined : "numeric";
    const day = new Date(text).toLocaleDateString("en-GB", { day: "numeric", month: "short", year, timeZone: zoneOf(text) });
    const made = element("span");
    made.append(element("span", `${day},`, "together"), ` ${clock(text)}`);
    return made;
}

function fillVolume() {
    const list = rows("detections_per_day");
    if (!found("volume", list)) return;
    const days = list.map((each) => each.day).sort();
    const [first, last] = [days[0], days.at(-1)];
    const aside = 12 * 3600 * 1000;
    const range = [Date.parse(first) - aside, Date.parse(last) + aside].map((time) => new Date(time).toISOString());
    const groups = grouped(list, (each) => each.application_id);
    const apart = [...groups.keys()].filter((id) => id !== null).length;
    for (const [id, own] of groups) {
        const name = id === null ? counted(own[0].applications - apart, "other application") : own[0].application;
        panel(
            part("volume", ".panels"),
            name,
            counted(sum(own, "detections"), "detection"),
            columns({
                x: own.map((each) => each.day),
                y: own.map((each) => each.detections),
                axis: { type: "date", range, nticks: 4, tickformat: "%-d %b" },
                hover: "%{x|%-d %B %Y}: %{y:,}<extra></extra>",
            }),
        );
    }
    const total = sum(list, "detections");
    const byDay = [...grouped(list, (each) => each.day)].map(([day, own]) => ({ day, count: sum(own, "detections") }));
    const most = byDay.reduce((one, other) => (other.count > one.count ? other : one));
    part("volume", ".answer").textContent =
        `${counted(total, "detection")}, ${period(first, last)}; ` +
        `the busiest day was ${date(most.day)} with ${number(most.count)}.`;
    const cuts = [
        total < rows("covered")[0].detections && "Only the 90 days that end with the newest detection are shown.",
        groups.has(null) &&
            `The ${apart} applications with the most detections have a panel each, the others share the last one.`,
    ];
    part("volume", ".cut").textContent = cuts.filter(Boolean).join(" ");
    numbers("volume", "Detections per day and application", whole("detections_per_day"));
}

function fillCertainty() {
    const list = rows("probabilities");
    if (!found("certainty", list)) return;
    const step = 0.05;
    const groups = grouped(list, (each) => each.subject_uid);
    for (const own of groups.values()) {
        panel(
            part("certainty", ".panels"),
            own[0].subject,
            counted(sum(own, "detections"), "detection"),
            columns({
                x: own.map((each) => each.probability_from + step / 2),
                y: own.map((each) => each.detections),
                width: step * 0.85,
                axis: { range: [0, 1], tickvals: [0, 0.5, 1] },
                hover: "around %{x:.2f}: %{y:,}<extra></extra>",
            }),
        );
    }
    if (list[0].subjects > groups.size) {
        part("certainty", ".cut").textContent =
            `The ${groups.size} of ${number(list[0].subjects)} subjects with the most assertions are shown.`;
    }
    numbers("certainty", "Assertions of models by probability", whole("probabilities"));
}

function fillAgreement() {
    const list = rows("agreement");
    if (!found("agreement", list)) return;
    const verdicts = ["agreed", "wrongly_seen", "overlooked", "misread"];
    show(
        part("agreement", ".chart"),
        "Shares of agreement by subject and application",
        bars({
            rows: list.map((each) => ({
                name: `${each.subject}, ${each.application}`,
                value:
                    `${percent(each.agreed / each.reviewed)} of ${number(each.reviewed)} ` +
                    `(${number(100 * each.agreed_from)} to ${percent(each.agreed_to)})`,
            })),
            parts: verdicts.map((verdict) => ({
                colour: verdict.replace("_", "-"),
                hatched: verdict === "misread",
                places: list.map((_, place) => place),
                lengths: list.map((each) => each[verdict] / each.reviewed),
                hover: list.map((each) => `${words(verdict)}: ${number(each[verdict])} of ${number(each.reviewed)}`),
            })),
            xRange: [0, 1],
        }),
    );
    const reviewed = sum(list, "reviewed");
    const agreed = percent(sum(list, "agreed") / reviewed);
    part("agreement", ".answer").textContent =
        `People agreed with ${agreed} of the ${counted(reviewed, "assertion")} they reviewed.`;
    if (list[0].pairs > list.length) {
        part("agreement", ".cut").textContent =
            `The ${list.length} of ${number(list[0].pairs)} subjects that were reviewed most are shown, and counted.`;
    }
    numbers("agreement", "Reviewed assertions by verdict", whole("agreement"));
}

function options(select, groups, choose, first) {
    for (const [title, entries] of groups) {
        const into = title ? element("optgroup") : select;
        if (title) {
            into.label = title;
            select.append(into);
        }
        for (const [value, text] of entries) into.append(new Option(text, value));
    }
    if (first) select.value = first;
    select.onchange = () => choose(select.value);
    choose(select.value);
}

function fillRanking() {
    const list = rows("ranking");
    if (!found("ranking", list)) return;
    const key = (each) => JSON.stringify([each.media_type, each.metric]);
    const choices = grouped(list, key);
    const firsts = [...choices.values()].map(([first]) => first);
    const kinds = [...grouped(firsts, (each) => each.media_type)].map(([kind, own]) => [
        capital(plural(kind)),
        own.map((each) => [key(each), `${named(each.metric)} of ${plural(kind)}`]),
    ]);
    options(document.getElementById("metric"), kinds, (value) => {
        showRanking(choices.get(value));
        const title = `Places by ${named(choices.get(value)[0].metric)}`;
        numbers("ranking", title, whole("ranking", (each) => key(each) === value));
    });
}

const plural = (kind) => (kind === null ? "other media" : `${kind}s`);

function showRanking(list) {
    const { metric, media, media_type: kind } = list[0];
    const container = part("ranking", ".panels");
    container.replaceChildren();
    for (const [end, own] of grouped(list, (each) => each.at_the_end)) {
        const lying = {
            colour: "accent",
            places: own.map((_, place) => place),
            lengths: own.map((each) => each.value),
            hover: own.map((each) => `${each.medium}: ${number(each.value, 2)} %`),
        };
        const make = bars({
            rows: own.map((each) => ({
                name: `${number(each.place)}. ${each.medium}`,
                value: `${tenths(each.value)} %`,
            })),
            parts: [lying],
            xRange: [0, Math.max(100, ...list.map((each) => each.value))],
        });
        panel(container, capital(`${end} ${named(metric)}`), "", make);
    }
    part("ranking", ".answer").textContent =
        list.length < media
            ? `The five highest and the five lowest of ${number(media)} ${plural(kind)}.`
            : `All ${plural(kind)} that have a value: ${number(media)}.`;
}

function fillVideo() {
    const list = rows("curves");
    if (!found("video", list)) return;
    const videos = grouped(list, (each) => each.media_id);
    const scales = new Map(
        [...grouped(list, curveName)].map(([name, own]) => {
            const values = own.flatMap((each) => each.values).filter((value) => value !== null);
            const [least, most] = [Math.min(...values), Math.max(...values)];
            const air = (most - least) * 0.08 || 1;
            return [name, values.length ? [least - air, most + air] : [0, 1]];
        }),
    );
    const names = grouped([...videos.values()].map((own) => own[0]), (each) => each.video);
    const entries = [...videos.values()].map(([each]) => [
        each.media_id,
        names.get(each.video).length > 1 ? `${each.video} (${each.media_id})` : each.video,
    ]);
    const withAreas = new Set(rows("areas_seen").map((each) => each.media_id));
    const first = entries.find(([id]) => withAreas.has(id))?.[0];
    options(document.getElementById("medium"), [["", entries]], (id) => showVideo(videos.get(id), scales), first);
    const leftOut = rows("attention_drop")[0]?.videos_left_out;
    const cuts = [
        list[0].videos > videos.size &&
            `The ${videos.size} of ${number(list[0].videos)} videos that were handed in last can be chosen.`,
        leftOut && `Of ${counted(leftOut, "video")} nothing tells where focus falls most.`,
    ];
    part("video", ".cut").textContent = cuts.filter(Boolean).join(" ");
}

// What marketers call the files of Neurons.
const FILES = { metrics: "attention prediction", frt_frame_metrics: "Fast Response Test" };
const file = (name) => FILES[name] ?? words(name);
const METRICS = { engagement_new: "engagement", engagement: "older engagement" };
const named = (metric) => METRICS[metric] ?? words(metric);
const curveName = (curve) => JSON.stringify([curve.asset, curve.metric]);
const unit = (curve) => (curve.by_frame ? "frame" : "second");

function showVideo(curves, scales) {
    const { media_id: id, video, created_at: at } = curves[0];
    const drops = rows("attention_drop").filter((each) => each.media_id === id);
    const container = part("video", ".panels");
    container.replaceChildren();
    for (const curve of curves) {
        const drop = drops.find((each) => each.asset === curve.asset && curve.metric === "focus" && !curve.by_frame);
        const alike = curves.filter((each) => each.by_frame === curve.by_frame);
        const make = line({
            x: curve.positions,
            y: curve.values,
            mark: drop && curve.positions.includes(drop.second) ? drop.second : undefined,
            axis: {
                range: [0, Math.max(1, ...alike.map((each) => each.positions.at(-1)))],
                ticksuffix: curve.by_frame ? "" : " s",
            },
            yRange: scales.get(curveName(curve)),
            unit: unit(curve),
        });
        const per = curve.step > 1 ? `${curve.step} ${unit(curve)}s` : unit(curve);
        panel(container, capital(named(curve.metric)), `per ${per}, ${file(curve.asset)}`, make);
    }
    const told = [at ? `${video}, handed in on ${date(at)}.` : `${video}.`];
    for (const { second, focus_before: before, focus_after: after } of drops.slice(0, 1)) {
        told.push(`Focus falls most at second ${second}, from ${tenths(before)} to ${tenths(after)}.`);
    }
    if (!drops.length && curves.some((each) => each.metric === "focus")) {
        told.push("Nothing tells at which second focus falls most: no file states times, or it never falls.");
    }
    part("video", ".answer").textContent = told.join(" ");
    showAreas(id, curves);
    numbers("video", `Curves of ${video}`, () => ({
        head: ["file", "metric", "unit", "position", "mean"],
        body: curves.flatMap(({ asset, metric, positions, values, ...curve }) =>
            positions.map((position, place) => [file(asset), named(metric), unit(curve), position, values[place]]),
        ),
    }));
}

// The ranges that positions form which follow each other.
function ranges({ positions, step }) {
    const found = [];
    for (const position of positions) {
        if (found.at(-1)?.end === position) found.at(-1).end += step;
        else found.push({ start: position, end: position + step });
    }
    return found;
}

function showAreas(id, curves) {
    const seen = rows("areas_seen").filter((each) => each.media_id === id);
    const scores = rows("areas").filter((each) => each.media_id === id);
    const chart = document.getElementById("areas");
    document.getElementById("no-areas").hidden = seen.length > 0;
    chart.hidden = seen.length === 0;
    if (seen.length) show(chart, "When the areas of interest are in the picture", areaBars(seen, curves));
    showScores(scores);
    const most = Math.max(0, ...[...seen, ...scores].map((each) => each.areas));
    document.getElementById("areas-cut").textContent =
        most > 8 ? `Of ${number(most)} areas, the 8 seen longest and the 8 with the most attention are shown.` : "";
}

function areaBars(seen, curves) {
    const alike = [...curves, ...seen].filter((each) => each.by_frame === seen[0].by_frame);
    const shown = seen.flatMap((each, place) => ranges(each).map((range) => ({ ...each, ...range, place })));
    const lying = {
        colour: "accent",
        places: shown.map(({ place }) => place),
        lengths: shown.map(({ start, end }) => end - start),
        starts: shown.map(({ start }) => start),
        hover: shown.map((each) => `${each.area}: ${unit(each)}s ${each.start} to ${each.end}`),
    };
    return bars({
        rows: seen.map((each) => ({ name: each.area, value: counted(each.frames, "frame") })),
        parts: [lying],
        xRange: [0, Math.max(...alike.map((each) => each.positions.at(-1) + each.step))],
        axis: { nticks: 8, ticksuffix: seen[0].by_frame ? "" : " s" },
    });
}

function showScores(scores) {
    const metrics = [...new Set(scores.map((each) => each.metric))].sort();
    const lines = [...grouped(scores, (each) => each.area)].map(([area, own]) => [
        area,
        ...metrics.map((metric) => {
            const score = own.find((each) => each.metric === metric);
            return score ? rounded(score.value) : null;
        }),
    ]);
    document.getElementById("no-scores").hidden = scores.length > 0;
    const made = scores.length ? [table(["Area of interest", ...metrics.map(words)], lines)] : [];
    document.getElementById("scores").replaceChildren(...made);
}

const HEADLINES = ["focus", "cognitive_demand", "engagement", "memory", "intent", "trust", "avoidance"];

// The name of a medium, below its picture where there is one.
function portrait({ medium, thumbnail_path: path }) {
    const made = element("span", medium, "portrait");
    if (Object.hasOwn(pictures, path ?? "")) {
        const picture = element("img");
        picture.src = pictures[path];
        picture.alt = "";
        picture.width = 120;
        made.prepend(picture);
    }
    return made;
}

function fillCreatives() {
    const list = rows("creatives");
    if (!found("creatives", list)) return;
    const lines = list.map((each) => [
        portrait(each),
        each.media_type,
        each.handed_in_on,
        ...HEADLINES.map((metric) => each[metric] && Number(each[metric].toFixed(1))),
    ]);
    part("creatives", ".sheet").replaceChildren(table(["medium", "type", "handed in", ...HEADLINES.map(words)], lines));
    const seen = list.filter((each) => Object.hasOwn(pictures, each.thumbnail_path ?? "")).length;
    part("creatives", ".answer").textContent =
        `${counted(list.length, "image or video", "images and videos")}, ${counted(seen, "with a picture", "with pictures")}.`;
    if (list[0].media > list.length) {
        part("creatives", ".cut").textContent = `The newest ${list.length} of ${number(list[0].media)} are shown.`;
    }
}

fillHeader();
fillHealth();
fillVolume();
fillCertainty();
fillAgreement();
fillRanking();
fillCreatives();
fillVideo();
startDrawing("library")
    .catch(() => {
        document.getElementById("undrawn").hidden = false;
    })
    .finally(() => document.querySelector("main").removeAttribute("aria-busy"));
