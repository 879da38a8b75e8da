// What Cogniac's applications see: of all of them, or of the one whose page is shown (its id; null for all).

// The days that all charts of days cover.
function dayAxis() {
    const days = [...answers.detections_per_day.day, ...answers.rates.days.flat()].sort();
    const aside = 12 * HOUR;
    const range = [Date.parse(days[0]) - aside, Date.parse(days.at(-1)) + aside];
    return { type: "date", range: range.map((time) => new Date(time).toISOString()), nticks: 4, tickformat: "%-d %b" };
}

const PANELS = 12;

function fillVolume(application) {
    const all = rows("detections_per_day");
    const list = application === null ? all : all.filter((each) => each.application_id === application);
    if (!found("volume", list)) return;
    const axis = dayAxis();
    const ids = [...APPLICATIONS.keys()].filter((id) => application === null || id === application).slice(0, PANELS);
    const groups = grouped(list, (each) => (ids.includes(each.application_id) ? each.application_id : null));
    for (const id of [...ids, null].filter((each) => groups.has(each))) {
        const own = [...grouped(groups.get(id), (each) => each.day)]
            .map(([day, same]) => ({ day, count: sum(same, "detections") }))
            .sort((one, other) => one.day.localeCompare(other.day));
        const others = COVERED.applications - ids.length;
        const name = id === null ? counted(others, "other application") : APPLICATIONS.get(id);
        panel(
            part("volume", ".panels"),
            name,
            counted(sum(own, "count"), "detection"),
            columns({
                x: own.map((each) => each.day),
                y: own.map((each) => each.count),
                axis,
                unit: "detections a day",
                hover: "%{x|%-d %B %Y}: %{y:,}<extra></extra>",
            }),
            id === null || id === application ? name : link("application", id, name),
        );
    }
    part("volume", ".answer").textContent = busiest(list);
    part("volume", ".cut").textContent =
        application === null ? volumeCuts(ids, groups.has(null)) : earlierCut(pageOf(application));
    numbers("volume", "Detections per day and application", ["application", "day", "detections"], () =>
        list.map((each) => [APPLICATIONS.get(each.application_id) ?? "all others", each.day, each.detections]),
    );
}

function busiest(list) {
    const days = list.map((each) => each.day).sort();
    const byDay = [...grouped(list, (each) => each.day)].map(([day, own]) => ({ day, count: sum(own, "detections") }));
    const most = byDay.reduce((one, other) => (other.count > one.count ? other : one));
    return (
        `${counted(sum(list, "detections"), "detection")}, ${period(days[0], days.at(-1))}; ` +
        `the busiest day was ${date(most.day)} with ${number(most.count)}.`
    );
}

// What is told of an application that has a page.
const pageOf = (application) => rows("applications").find((each) => each.application_id === application);

const earlierCut = ({ earlier }) =>
    earlier > 0 ? "Only the 90 days that end with the newest detection are shown." : "";

function volumeCuts(ids, hasOthers) {
    const cuts = [
        earlierCut(COVERED),
        COVERED.later > 0 &&
            `${counted(COVERED.later, "detection")} dated after this report was made, by a clock that is wrong, ` +
                `${COVERED.later === 1 ? "is" : "are"} left out.`,
        hasOthers &&
            `The ${ids.length} applications with the most detections have a panel each, the others share the last one.`,
        COVERED.applications > APPLICATIONS.size &&
            `The first ${APPLICATIONS.size} of ${number(COVERED.applications)} have a page of their own.`,
    ];
    return cuts.filter(Boolean).join(" ");
}

// A subject, and on a page of all applications whose it is.
const whose = (application, each, more = "") =>
    [each.subject, application === null && (APPLICATIONS.get(each.application_id) ?? each.application), more]
        .filter(Boolean)
        .join(", ");

function lead(application, each, title) {
    return application === null ? link("application", each.application_id, title) : title;
}

function fillRates(application) {
    const all = rows("rates");
    const list = all.filter((each) =>
        application === null ? each.place_of_all <= 9 : each.application_id === application && each.place <= 6,
    );
    if (!found("rates", list)) return;
    const axis = dayAxis();
    for (const each of list) {
        const title = whose(application, each, each.camera === null ? "no camera named" : `camera ${each.camera}`);
        const said = each.out_days
            ? `out of control on ${number(each.out_days)} of ${counted(each.days.length, "day")}`
            : `within its limits on ${each.days.length === 1 ? "its only day" : `all ${number(each.days.length)} days`}`;
        panel(
            part("rates", ".panels"),
            title,
            `${percent(each.center_line, 1)} of the media, ${said}`,
            control({
                days: each.days,
                rates: each.rates,
                means: each.means,
                lower: each.lower_limits,
                upper: each.upper_limits,
                center: each.center_line,
                out: each.are_out,
                hover: each.days.map(
                    (day, at) => `${date(day)}: ${number(each.defective[at])} of ${number(each.inspected[at])}`,
                ),
                axis,
            }),
            lead(application, each, title),
        );
    }
    const [{ rates_of_all, out_of_all, rates_of_application, out_of_application }] = list;
    const [rates, out] =
        application === null ? [rates_of_all, out_of_all] : [rates_of_application, out_of_application];
    part("rates", ".answer").textContent = out
        ? `Of ${counted(rates, "rate")}, ${number(out)} left ${out === 1 ? "its" : "their"} control limits on some day.`
        : rates === 1
          ? "The only rate kept within its control limits on every day."
          : `All ${number(rates)} rates kept within their control limits on every day.`;
    if (rates > list.length) {
        part("rates", ".cut").textContent =
            `The ${list.length} of ${number(rates)} that left them on the most days are shown, then those of the most media.`;
    }
    numbers("rates", "Rates per day", RATE_HEAD, () => list.flatMap((each) => rateLines(each)));
}

const RATE_HEAD = [
    ...["application", "subject", "camera", "day", "inspected", "with the subject", "rate, %"],
    ...["mean of 7 days, %", "lower limit, %", "upper limit, %", "out of control"],
];

function rateLines(each) {
    const share = (value) => Number((100 * value).toFixed(2));
    return each.days.map((day, at) => [
        ...[APPLICATIONS.get(each.application_id) ?? each.application, each.subject, each.camera, day],
        ...[each.inspected[at], each.defective[at]],
        ...[each.rates, each.means, each.lower_limits, each.upper_limits].map((values) => share(values[at])),
        each.are_out[at] ? "yes" : "no",
    ]);
}

function fillCertainty(application) {
    const all = rows("probabilities");
    const list = all.filter((each) =>
        application === null ? each.pair_place <= PANELS : each.application_id === application,
    );
    if (!found("certainty", list)) return;
    const step = 0.05;
    for (const each of list) {
        const title = whose(application, each);
        const share = percent(each.above_threshold / each.detections);
        const by = each.is_default ? `${each.threshold} (default)` : each.threshold;
        panel(
            part("certainty", ".panels"),
            title,
            `${share} of ${counted(each.detections, "detection")} above the threshold of ${by}`,
            columns({
                x: each.steps.map((at) => at * step + step / 2),
                y: each.counts,
                width: step * 0.85,
                axis: { range: [0, 1], tickvals: [0, 0.5, 1], title: "probability" },
                unit: "detections",
                limit: { at: each.threshold, label: `threshold ${each.threshold}` },
                hover: "around %{x:.3f}: %{y:,}<extra></extra>",
            }),
            lead(application, each, title),
        );
    }
    part("certainty", ".answer").textContent = leastSure(application, list);
    const most = application === null ? list[0].pairs : list[0].subjects;
    if (most > list.length) {
        part("certainty", ".cut").textContent =
            `The ${list.length} of ${number(most)} subjects with the most assertions are shown.`;
    }
    const head = ["application", "subject", "probability from", "to", "detections", "threshold"];
    numbers("certainty", "Assertions of models by probability", head, () =>
        list.flatMap((each) =>
            each.steps.map((at, place) => [
                APPLICATIONS.get(each.application_id),
                each.subject,
                Number((at * step).toFixed(2)),
                Number(((at + 1) * step).toFixed(2)),
                each.counts[place],
                each.threshold,
            ]),
        ),
    );
}

// Steps of probability in which a model as good as tosses a coin: 0.4 to 0.6.
const UNDECIDED = new Set([8, 9, 10, 11]);

function leastSure(application, list) {
    const shares = list.map((each) => ({
        ...each,
        undecided: each.counts.reduce((total, count, at) => total + (UNDECIDED.has(each.steps[at]) ? count : 0), 0),
    }));
    const most = shares.reduce((one, other) =>
        other.undecided / other.detections > one.undecided / one.detections ? other : one,
    );
    return most.undecided
        ? `The models are least sure of ${whose(application, most)}: ${percent(most.undecided / most.detections)} ` +
              `of ${counted(most.detections, "detection")} have a probability from 0.4 to 0.6.`
        : "The models are sure: no detection here has a probability from 0.4 to 0.6.";
}

const TOGETHER = 4; // bars in one chart, which no page of paper cuts

const VERDICTS = ["agreed", "wrongly_seen", "overlooked", "misread"];

function fillAgreement(application) {
    const all = rows("agreement");
    const list = all.filter((each) =>
        application === null ? each.pair_place <= 12 : each.application_id === application && each.place <= 12,
    );
    if (!found("agreement", list)) return;
    for (let at = 0; at < list.length; at += TOGETHER) {
        const chart = element("div", undefined, "chart");
        part("agreement", ".panels").append(chart);
        const own = list.slice(at, at + TOGETHER);
        const label = own.map((each) => whose(application, each)).join("; ");
        show(chart, `Shares of agreement: ${label}`, agreementBars(application, own));
    }
    const [first] = list;
    const [reviewed, agreed, pairs] =
        application === null
            ? [first.reviewed_of_all, first.agreed_of_all, first.pairs]
            : [first.reviewed_of_application, first.agreed_of_application, first.subjects];
    part("agreement", ".answer").textContent =
        `People agreed with ${percent(agreed / reviewed)} of the ${counted(reviewed, "assertion")} they reviewed.` +
        reviewedOf(application);
    if (pairs > list.length) {
        part("agreement", ".cut").textContent =
            `The ${list.length} of ${number(pairs)} subjects that were reviewed most are shown.`;
    }
    const head = [
        ...["application", "subject", "reviewed", ...VERDICTS.map(words)],
        ...["agreed, %", "from, %", "to, %"],
    ];
    numbers("agreement", "Reviewed assertions by verdict", head, () =>
        list.map((each) => [
            ...[APPLICATIONS.get(each.application_id) ?? each.application, each.subject, each.reviewed],
            ...VERDICTS.map((verdict) => each[verdict]),
            ...[each.agreed / each.reviewed, each.agreed_from, each.agreed_to].map((share) =>
                Number((100 * share).toFixed(1)),
            ),
        ]),
    );
}

// How much of what an application looked at people have seen at all.
function reviewedOf(application) {
    const own = pageOf(application);
    return own?.results
        ? ` Of its ${counted(own.results, "result")}, ${percent(own.reviewed_results / own.results, 1)} are reviewed.`
        : "";
}

function agreementBars(application, list) {
    return bars({
        rows: list.map((each) => ({
            name: whose(application, each),
            value:
                `${percent(each.agreed / each.reviewed)} of ${number(each.reviewed)} ` +
                `(${number(100 * each.agreed_from)} to ${percent(each.agreed_to)})`,
        })),
        parts: VERDICTS.map((verdict) => ({
            colour: verdict.replace("_", "-"),
            hatched: verdict === "misread",
            places: list.map((_, place) => place),
            lengths: list.map((each) => each[verdict] / each.reviewed),
            hover: list.map((each) => `${words(verdict)}: ${number(each[verdict])} of ${number(each.reviewed)}`),
        })),
        xRange: [0, 1],
    });
}
