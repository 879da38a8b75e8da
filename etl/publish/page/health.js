// Whose data these are, how old, and how the pipeline is.

const HOUR = 3600 * 1000;
const SKEW_HOURS = 1 / 12; // by which clocks differ that are right
const SOURCE_NAMES = { cogniac: "Cogniac", neurons: "Neurons" };
const sourceName = (source) => called(SOURCE_NAMES, source);
const hoursSince = (text) => (Date.now() - Date.parse(text)) / HOUR;

const [COVERED] = rows("covered");
// Which sources have data: of the others nothing is said.
const HAS = { cogniac: COVERED.detections > 0, neurons: COVERED.media > 0 };

function coverage() {
    const told = [];
    if (HAS.cogniac) {
        const seen = counted(COVERED.detections, "detection");
        const where = counted(COVERED.applications, "application");
        const when = COVERED.first_day && COVERED.last_day && period(COVERED.first_day, COVERED.last_day);
        told.push([`${seen} in ${where}`, when].filter(Boolean).join(", "));
    }
    if (HAS.neurons) {
        const others = COVERED.media - COVERED.videos - COVERED.images;
        const media = [
            COVERED.videos && counted(COVERED.videos, "video"),
            COVERED.images && counted(COVERED.images, "image"),
            others && counted(others, "medium of another kind", "media of other kinds"),
        ].filter(Boolean);
        const when = COVERED.first_media_at && `handed in ${period(COVERED.first_media_at, COVERED.last_media_at)}`;
        told.push([`predictions for ${media.join(" and ")}`, when].filter(Boolean).join(", "));
    }
    return told.length ? capital(`${told.join("; ")}.`) : "No detections and no media have been loaded yet.";
}

// The sources whose data the page shows.
let shownSources = Object.keys(HAS);

// How old the data are by the clock of who reads this, which may be another one than made it, and wrong.
function freshness() {
    const sources = rows("freshness").filter((each) => HAS[each.source] && shownSources.includes(each.source));
    const isAhead = hoursSince(madeAt) < -SKEW_HOURS || sources.some((each) => hoursSince(each.loaded_at) < -SKEW_HOURS);
    const told = [...grouped(sources, (each) => each.loaded_at)].map(([at, own]) => {
        const names = own.map((each) => sourceName(each.source)).join(" and ");
        return `${names}: loaded on ${moment(at)}${isAhead ? "" : `, ${ago(Math.max(0, hoursSince(at)))} ago`}.`;
    });
    const old = isAhead ? [] : sources.filter((each) => hoursSince(each.loaded_at) > each.usual_hours);
    const warnings = [
        isAhead &&
            "By the clock of this device these data come from the future: it is wrong, or that of the machine that " +
                "loaded them was. So how old they are is not told.",
        ...old.map(
            (each) =>
                `The data of ${sourceName(each.source)} are older than is usual: it was loaded ` +
                `${ago(hoursSince(each.loaded_at))} ago, and usually is every ${ago(each.usual_hours - 1)} or more ` +
                "often. A newer report may tell something else.",
        ),
    ];
    document.getElementById("fresh").textContent = told.join(" ");
    const notice = document.getElementById("stale");
    notice.textContent = warnings.filter(Boolean).join(" ");
    notice.hidden = notice.textContent === "";
}

function fillHeader() {
    document.getElementById("made").textContent = `Report made by Sightglass on ${moment(madeAt)}.`;
    setInterval(freshness, 60 * 1000);
    document.addEventListener("visibilitychange", freshness);
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
    spread(document.getElementById("streams"), "Streams", sheet);
    if (all > streams.length) {
        part("health", ".cut").textContent =
            `The ${streams.length} of ${number(all)} streams that need a look most are listed.`;
    }
}

function verdict(run, { failed_streams: failed, late_streams: late, off_streams: off = 0 }, all) {
    const troubles = [
        failed && `${number(failed)} failed`,
        late && `${number(late)} ${late === 1 ? "was" : "were"} late`,
    ].filter(Boolean);
    const then = "when this report was made";
    if (troubles.length) {
        const told = ` Of ${counted(all, "stream")}, ${troubles.join(" and ")} ${then}.`;
        return [mark(failed ? "failed" : "late", ""), told];
    }
    if (run.is_late) {
        return [mark("late", ""), ` The streams were well, but no run had begun for more than a day ${then}.`];
    }
    if (!["ok", "running"].includes(run.status)) {
        return [mark("failed", ""), all ? " The streams are well, but not the last run." : " The last run read no stream."];
    }
    const read = all - off;
    if (!read) return [mark("off", ""), " No stream is read."];
    const which = read === 1 ? "The only stream was" : `All ${number(read)} streams were`;
    return [mark("ok", ""), ` ${which} up to date ${then}.${off ? ` Runs leave out ${number(off)} more.` : ""}`];
}

function lastRun(run) {
    const endings = { ok: "ended well", partial: "left something out", failed: "failed", running: "had not ended yet" };
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

// When a stream was loaded, and how long before the report that was: no run shows up as age.
function loaded({ last_good_at: at, age_hours: hours }) {
    const told = brief(at, "never");
    if (at !== null && hours >= 1) told.append(" ", element("small", `${ago(hours)} before the report`));
    return told;
}

function streamNote({ refused, missing, state, error, ...stream }) {
    const open = [
        refused && `${number(refused)} refused: sightglass quarantine lists what`,
        missing && lacking(missing, stream),
    ];
    return [...open, state === "failed" && error].filter(Boolean).join("; ");
}

// What is missing, the oldest first, and how much more.
function lacking(missing, { missing_what: whats, missing_of: whose, missing_since: since }) {
    const told = (whats ?? []).map((what, at) => `${what} (${whose[at]}, since ${date(since[at])})`);
    const more = missing - told.length;
    const all = [...told, more > 0 && told.length > 0 && `${number(more)} more`].filter(Boolean);
    return [`${number(missing)} missing`, all.join("; ")].filter(Boolean).join(": ");
}

// A time in little space: the year only where it is not that of the report.
function brief(text, otherwise) {
    if (text === null) return otherwise;
    const year = text.slice(0, 4) === madeAt.slice(0, 4) ? undefined : "numeric";
    const day = new Date(text).toLocaleDateString("en-GB", {
        day: "numeric",
        month: "short",
        year,
        timeZone: zoneOf(text),
    });
    const made = element("span");
    made.append(element("span", `${day},`, "together"), ` ${clock(text)}`);
    return made;
}
