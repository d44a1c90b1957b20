# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The explorer's page: it lays out what the modules beside it say, and computes nothing. Started by `augscope explore`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="augscope explore")


@app.cell
def _():
    import marimo as mo

    from augscope.explorer import charts, controls, page, parts
    from augscope.explorer.settings import PRESETS, Settings

    return PRESETS, Settings, charts, controls, mo, page, parts


@app.cell
def _(Settings, mo):
    started, address_problems = Settings.from_query(mo.query_params().to_dict())
    get_start, set_start = mo.state(started)
    get_round, set_round = mo.state(0)
    streams = []  # the thread that shows the training, if any
    return address_problems, get_round, get_start, set_round, set_start, streams


@app.cell
def _(PRESETS, address_problems, mo, parts, set_start):
    preset = mo.ui.dropdown(
        list(PRESETS),
        label="Start from a preset",
        full_width=True,
        on_change=lambda name: name and set_start(PRESETS[name]),
    )
    mo.Html(parts.heading_html(address_problems))
    return (preset,)


@app.cell
def _(controls, get_start, mo):
    _start = get_start()
    rarity = mo.ui.dropdown(
        ["stated", "derived from the learning speeds"],
        value="stated" if _start.stated_rarity else "derived from the learning speeds",
        label="Rarity for the theorems",
        full_width=True,
    )
    knobs = mo.ui.dictionary(
        {
            slider.name: mo.ui.slider(steps=list(slider.marks), value=slider.value, debounce=True, full_width=True)
            for slider in controls.sliders(_start)
        }
    )
    return knobs, rarity


@app.cell
def _(controls, knobs, page, rarity):
    settings = controls.read_sliders(knobs.value, rarity.value == "stated")
    problems = settings.problems()
    errors = settings.errors()
    outlook = page.outlook_of(settings)
    return errors, outlook, problems, settings


@app.cell
def _(mo, settings):
    # The address of the page follows the sliders: it is the link that restores them.
    _address = mo.query_params()
    for _name, _text in settings.query().items():
        if _address.get(_name) != _text:
            _address.set(_name, _text)
    for _name in set(_address.to_dict()) - set(settings.query()):
        _address.remove(_name)
    return


@app.cell
def _(controls, errors, knobs, mo, page, parts, preset, problems, rarity, settings):
    _rows = [preset]
    for _slider in controls.sliders(settings):
        _told = controls.sentences_beside(problems, _slider.name)
        _rows.append(mo.Html(page.knob_html(_slider, settings)))
        _rows.append(knobs[_slider.name])
        if _told:
            _rows.append(mo.Html(parts.block(parts.paragraphs(_told, "problem" if errors else "note"))))
    mo.sidebar([*_rows, rarity], width="20rem")
    return


@app.cell
def _(mo, outlook, parts):
    mo.Html(parts.outlook_html(outlook))
    return


@app.cell
def _(get_round, mo, page, settings):
    _round = get_round()  # a press trains again
    session = page.session_of(settings, anew=_round > 0)

    def _train():
        thread = mo.current_thread()
        session.run(lambda: thread.should_exit)

    if session is not None:
        mo.Thread(target=_train).start()
    return (session,)


@app.cell
def _(mo, page, session, set_round, settings):
    # Elements that no global name holds are forgotten, and a press of them does nothing.
    stop_button = mo.ui.button(label="Stop", on_click=lambda _: page.stop(session))
    again_button = mo.ui.button(label="Train again", on_click=lambda _: set_round(lambda count: count + 1))
    downloads = [
        mo.download(data=make, filename=name, label=label) for name, label, make in page.downloads(session, settings)
    ]
    mo.hstack([stop_button, again_button, *downloads], justify="start", wrap=True) if session else None
    return again_button, downloads, stop_button


@app.cell
def _(charts, mo, outlook, page, parts, session, settings, streams):
    def _show(frame):
        pictures = [
            charts.method_chart(run, session.experiment, prediction) for run, prediction in page.pairs(frame, outlook)
        ]
        even = [charts.evenness_chart(frame.runs, session.experiment)] if frame.runs else []
        return mo.vstack(
            [
                mo.Html(parts.standing_html(frame, outlook, settings.num_steps)),
                mo.hstack([*pictures, *even], wrap=True, justify="start", align="start"),
            ]
        )

    def _stream():
        thread = mo.current_thread()
        for frame in session.frames(is_unwanted=lambda: thread.should_exit):
            picture = _show(frame)
            if not thread.should_exit:
                mo.output.replace(picture)

    for _earlier in streams:  # lest it write over what comes now
        _earlier.join()
    streams.clear()
    if session is not None:
        streams.append(mo.Thread(target=_stream))
        streams[0].start()
    return


if __name__ == "__main__":
    app.run()
