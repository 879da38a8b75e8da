// What Neurons predicts for images and videos, and how one video runs.

// What marketers call the files and metrics of Neurons.
const FILES = { metrics: "attention prediction", frt_frame_metrics: "Fast Response Test" };
const file = (name) => called(FILES, name);
const METRICS = { engagement_new: "engagement", engagement: "older engagement" };
const named = (metric) => called(METRICS, metric);
const plural = (kind) => (kind === null ? "other media" : `${kind}s`);

function options(select, groups, choose) {
    select.replaceChildren();
    for (const [title, entries] of groups) {
        const into = title ? element("optgroup") : select;
        if (title) {
            into.label = title;
            select.append(into);
        }
        for (const [value, text] of entries) into.append(new Option(text, value));
    }
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
        const own = choices.get(value);
        showRanking(own);
        numbers("ranking", `Places by ${named(own[0].metric)}`, ["place", own[0].media_type ?? "medium", "value, %"], () =>
            [...own]
                .sort((one, other) => one.place - other.place)
                .map((each) => [number(each.place), each.medium, Number(each.value.toFixed(2))]),
        );
    });
    if (list[0].metrics > choices.size) {
        part("ranking", ".cut").textContent =
            `The ${choices.size} of ${number(list[0].metrics)} metrics that the most media have can be chosen.`;
    }
}

function showRanking(list) {
    const { metric, media, media_type: kind } = list[0];
    const container = part("ranking", ".panels");
    clear(container);
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

const HEADLINES = ["focus", "cognitive_demand", "engagement", "memory", "intent", "trust", "avoidance"];
const shownTenth = (value) => Number(value.toFixed(1));
const tenth = (value) => (value === null ? null : element("span", tenths(value), "figure"));

// The name of a medium, below its picture where there is one; of a video it leads to its page.
function portrait({ media_id: id, medium, thumbnail_path: path }) {
    const made = element("span", undefined, "portrait");
    if (Object.hasOwn(pictures, path ?? "")) {
        const picture = element("img");
        picture.src = pictures[path];
        picture.alt = "";
        picture.width = 120;
        made.append(picture);
    }
    made.append(link("video", id, medium));
    return made;
}

function fillCreatives() {
    const list = rows("creatives");
    if (!found("creatives", list)) return;
    const lines = list.map((each) => [
        portrait(each),
        each.media_type,
        each.handed_in_on,
        ...HEADLINES.map((metric) => tenth(each[metric])),
    ]);
    const head = ["medium", "type", "handed in", ...HEADLINES.map((metric) => `${words(metric)}, %`)];
    spread(part("creatives", ".sheet"), "Images and videos", table(head, lines));
    const seen = list.filter((each) => Object.hasOwn(pictures, each.thumbnail_path ?? "")).length;
    part("creatives", ".answer").textContent =
        `${counted(list.length, "image or video", "images and videos")}, ${counted(seen, "with a picture", "with pictures")}.`;
    if (list[0].media > list.length) {
        part("creatives", ".cut").textContent = `The newest ${list.length} of ${number(list[0].media)} are shown.`;
    }
}

const DROPS = grouped(rows("attention_drop"), (each) => each.media_id);

function fillVideos() {
    const list = rows("videos");
    if (!found("videos", list)) return;
    const lines = list.map((each) => {
        const [drop] = DROPS.get(each.media_id) ?? [];
        const { focus_start: from, focus_end: to } = each;
        return [
            link("video", each.media_id, VIDEOS.get(each.media_id)),
            each.created_at && date(each.created_at),
            ...[each.focus, from, to, from === null || to === null ? null : shownTenth(to) - shownTenth(from)].map(tenth),
            drop ? `second ${drop.second}, from ${tenths(drop.focus_before)} to ${tenths(drop.focus_after)}` : "not known",
        ];
    });
    const head = [
        ...["video", "handed in", "focus, %", "first 2 s, %", "last 2 s, %", "change"],
        "focus per second falls most at",
    ];
    spread(part("videos", ".sheet"), "Videos", table(head, lines));
    const held = list.filter((each) => each.focus_end !== null && each.focus_start !== null);
    const lost = held.filter((each) => each.focus_end < each.focus_start);
    part("videos", ".answer").textContent = held.length
        ? `In ${number(lost.length)} of ${counted(held.length, "video")}, focus is lower in the last two seconds than in the first two.`
        : "";
    const leftOut = rows("attention_drop")[0]?.videos_left_out;
    part("videos", ".cut").textContent = [
        list[0].videos > list.length &&
            `The ${list.length} of ${number(list[0].videos)} videos that were handed in last are listed, and have a page of their own.`,
        leftOut && `Of ${counted(leftOut, "video")} nothing tells where focus falls most.`,
    ]
        .filter(Boolean)
        .join(" ");
}

const curveName = (curve) => JSON.stringify([curve.asset, curve.metric]);
const unit = (curve) => (curve.by_frame ? "frame" : "second");

// A metric has one scale for all videos; worked out when the first of them is shown.
let scales;

function scaleOf(curve) {
    scales ??= new Map(
        [...grouped(rows("curves"), curveName)].map(([name, own]) => {
            const values = own.flatMap((each) => each.values).filter((value) => value !== null);
            const least = values.reduce((one, other) => Math.min(one, other), Infinity);
            const most = values.reduce((one, other) => Math.max(one, other), -Infinity);
            const air = (most - least) * 0.08 || 1;
            return [name, values.length ? [least - air, most + air] : [0, 1]];
        }),
    );
    return scales.get(curveName(curve));
}

function fillVideo(id) {
    const curves = rows("curves").filter((each) => each.media_id === id);
    if (!found("video", curves)) return;
    const { created_at: at } = rows("videos").find((each) => each.media_id === id);
    const drops = DROPS.get(id) ?? [];
    for (const curve of curves) {
        const drop = drops.find((each) => each.asset === curve.asset && curve.metric === "focus" && !curve.by_frame);
        const alike = curves.filter((each) => each.by_frame === curve.by_frame);
        const make = line({
            x: curve.positions,
            y: curve.values,
            mark: drop && curve.positions.includes(drop.second) ? drop.second : undefined,
            axis: {
                range: [
                    Math.min(0, ...alike.map((each) => each.positions[0])),
                    Math.max(1, ...alike.map((each) => each.positions.at(-1))),
                ],
                title: curve.by_frame ? "frame" : "second",
            },
            yRange: scaleOf(curve),
            yUnit: `${named(curve.metric)}, Neurons’ scale`,
            unit: unit(curve),
        });
        const per = curve.step > 1 ? `${curve.step} ${unit(curve)}s` : unit(curve);
        panel(part("video", ".panels"), capital(named(curve.metric)), `per ${per}, ${file(curve.asset)}`, make);
    }
    part("video", ".answer").textContent = videoAnswer(at, drops, curves);
    if (curves[0].curves > curves.length) {
        part("video", ".cut").textContent = `The first ${curves.length} of ${number(curves[0].curves)} curves are shown.`;
    }
    showAreas(id, curves);
    numbers("video", `Curves of ${VIDEOS.get(id)}`, ["file", "metric", "unit", "position", "mean"], () =>
        curves.flatMap(({ asset, metric, positions, values, ...curve }) =>
            positions.map((position, place) => [file(asset), named(metric), unit(curve), position, values[place]]),
        ),
    );
}

function videoAnswer(at, drops, curves) {
    const told = at ? [`Handed in on ${date(at)}.`] : [];
    for (const { second, focus_before: before, focus_after: after } of drops.slice(0, 1)) {
        told.push(`Focus falls most at second ${second}, from ${tenths(before)} to ${tenths(after)}.`);
    }
    if (!drops.length && curves.some((each) => each.metric === "focus")) {
        told.push("Nothing tells at which second focus falls most: no file states times, or it never falls.");
    }
    return told.join(" ");
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
    const [seen, exposure, scores] = ["areas_seen", "exposure", "areas"].map((name) =>
        rows(name).filter((each) => each.media_id === id),
    );
    const chart = document.getElementById("areas");
    document.getElementById("no-areas").hidden = seen.length > 0;
    chart.hidden = seen.length === 0;
    if (seen.length) show(chart, "When the areas of interest are in the picture", areaBars(seen, curves));
    showExposure(exposure);
    showScores(scores);
    const areas = Math.max(0, ...[...seen, ...scores].map((each) => each.areas));
    const metrics = scores[0]?.metrics ?? 0;
    const shown = new Set(scores.map((each) => each.metric)).size;
    document.getElementById("areas-cut").textContent = [
        areas > 8 && `Of ${number(areas)} areas, the 8 seen longest and the 8 with the most attention are shown.`,
        metrics > shown && `Of ${number(metrics)} scores, ${shown} are shown.`,
    ]
        .filter(Boolean)
        .join(" ");
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
        axis: { nticks: 8, title: seen[0].by_frame ? "frame" : "second" },
    });
}

// For how long areas are on screen, and what focus is meanwhile.
function showExposure(exposure) {
    const container = document.getElementById("exposure");
    container.hidden = exposure.length === 0;
    if (!exposure.length) return;
    const head = ["area of interest", "on screen, s", "of the video, %", "focus meanwhile, Neurons’ scale", "focus without it, Neurons’ scale"];
    const lines = exposure.map((each) => [
        each.area,
        tenth(each.seconds_on_screen),
        tenth(each.share_on_screen === null ? null : 100 * each.share_on_screen),
        tenth(each.mean_focus),
        tenth(each.mean_focus_without),
    ]);
    spread(container, "Time on screen", table(head, lines));
}

function showScores(scores) {
    const container = document.getElementById("scores");
    const metrics = [...new Set(scores.map((each) => each.metric))].sort();
    const lines = [...grouped(scores, (each) => each.area)].map(([area, own]) => [
        area,
        ...metrics.map((metric) => {
            const score = own.find((each) => each.metric === metric);
            return score ? rounded(score.value) : null;
        }),
    ]);
    document.getElementById("no-scores").hidden = scores.length > 0;
    container.hidden = scores.length === 0;
    if (scores.length) spread(container, "Scores of areas of interest", table(["area of interest", ...metrics.map(words)], lines));
}
