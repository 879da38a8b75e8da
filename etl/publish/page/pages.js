// Which page of the file is shown, as its address says: all, #application/<id> or #video/<id>.

const TITLE = "What vision AI says about your media";

// What each page shows, by section: whose data it is made of, and how it is filled.
const SECTIONS = {
    all: [
        ["health", "", fillHealth],
        ["volume", "cogniac", () => fillVolume(null)],
        ["rates", "cogniac", () => fillRates(null)],
        ["certainty", "cogniac", () => fillCertainty(null)],
        ["agreement", "cogniac", () => fillAgreement(null)],
        ["ranking", "neurons", fillRanking],
        ["creatives", "neurons", fillCreatives],
        ["videos", "neurons", fillVideos],
    ],
    application: [
        ["volume", "cogniac", fillVolume],
        ["rates", "cogniac", fillRates],
        ["certainty", "cogniac", fillCertainty],
        ["agreement", "cogniac", fillAgreement],
    ],
    video: [["video", "neurons", fillVideo]],
    unknown: [],
};

function decoded(text) {
    try {
        return decodeURIComponent(text);
    } catch {
        return text; // it stands for itself
    }
}

// What an address asks for. Who passes one on may have it decoded, or cut short.
function asked(hash) {
    const [, kind, given] = /^#(application|video)\/(.*)$/s.exec(hash) ?? [];
    if (!kind) return { kind: "all" };
    const names = kind === "application" ? APPLICATIONS : VIDEOS;
    const id = [decoded(given), given].find((each) => names.has(each));
    return id === undefined
        ? { kind: "unknown", id: decoded(given), of: kind, known: names.size }
        : { kind, id, name: names.get(id) };
}

function unknownPage({ id, of, known }) {
    const which =
        of === "application"
            ? `the ${counted(known, "application")} with the most detections`
            : `the ${counted(known, "video")} that were handed in last`;
    return `This report has no page for the ${of} ${id}.${known ? ` It has one for ${which}.` : ""}`;
}

// How far each page that was shown had been scrolled, by the key that its entry in the browser's history got.
const scrolled = new Map();
let shownKey = null;

function showPage() {
    const page = asked(window.location.hash);
    document.querySelector("h1").textContent = page.name ?? TITLE;
    document.title = page.name ? `${page.name}, Sightglass report` : "Sightglass report";
    document.getElementById("kicker").textContent = page.name ? capital(page.kind) : "";
    document.getElementById("covered").textContent = page.kind === "all" ? coverage() : "";
    document.getElementById("home").hidden = page.kind === "all";
    const lost = document.getElementById("lost");
    lost.textContent = page.kind === "unknown" ? unknownPage(page) : "";
    lost.hidden = page.kind !== "unknown";
    const sections = SECTIONS[page.kind].filter(([, source]) => !source || HAS[source]);
    for (const each of document.querySelectorAll("main > section")) {
        each.hidden = !sections.some(([section]) => section === each.id);
    }
    for (const [, , fill] of sections) fill(page.id);
    shownSources = Object.keys(HAS).filter((each) => sections.some(([, source]) => source === each));
    freshness();
    for (const select of document.querySelectorAll("nav select")) {
        select.value = select.id === `to-${page.kind}` ? page.id : "";
    }
}

// The section that an address names, as #agreement does.
function anchor() {
    const place = document.getElementById(window.location.hash.slice(1));
    return place?.matches("main > section:not([hidden])") ? place : null;
}

// Show another page: from its beginning, or from where the reader was who comes back to it.
function turn() {
    scrolled.set(shownKey, window.scrollY);
    const known = window.history.state?.key;
    enter(known);
    showPage();
    const place = anchor();
    if (place && known === undefined) place.scrollIntoView();
    else window.scrollTo(0, scrolled.get(known) ?? 0);
    document.querySelector("h1").focus({ preventScroll: true });
}

function enter(known) {
    shownKey = known ?? `${Date.now()}-${scrolled.size}`;
    if (known === undefined) window.history.replaceState({ key: shownKey }, "");
}

function fillNavigation() {
    const kinds = [
        ["application", APPLICATIONS],
        ["video", VIDEOS],
    ];
    for (const [kind, names] of kinds) {
        const select = document.getElementById(`to-${kind}`);
        select.closest("label").hidden = names.size === 0;
        for (const [id, name] of names) select.append(new Option(name, id));
        select.onchange = () => {
            if (select.selectedIndex > 0) window.location.hash = address(kind, select.value);
        };
    }
}

fillHeader();
fillNavigation();
window.history.scrollRestoration = "manual";
window.addEventListener("hashchange", turn);
enter(window.history.state?.key);
showPage();
startDrawing("library")
    .catch(() => {
        document.getElementById("undrawn").hidden = false;
        document.body.className = "undrawn";
    })
    .finally(() => {
        anchor()?.scrollIntoView();
        document.querySelector("main").removeAttribute("aria-busy");
    });
