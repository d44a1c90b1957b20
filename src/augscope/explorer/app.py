# /// script
# [tool.marimo.display]
# theme = "system"
# ///
"""The explorer's page: it lays out what the modules beside it return, and computes nothing. Started by `augscope explore`."""

import marimo

__generated_with = "0.25.2"
app = marimo.App(width="full", app_title="augscope explore", css_file="front.css", html_head_file="front.html")


@app.cell
def _():
    import marimo as mo

    from augscope.explorer import controls, fragments, page
    from augscope.explorer.settings import PRESETS, Settings

    return PRESETS, Settings, controls, mo, page, fragments


@app.cell
def _(Settings, mo):
    start, address_problems = Settings.from_query(mo.query_params().to_dict())
    get_start, set_start = mo.state(start)
    get_round, set_round = mo.state(0)
    streams = []  # the thread that shows the training, if any
    return address_problems, get_round, get_start, set_round, set_start, streams


@app.cell
def _(PRESETS, address_problems, mo, fragments, set_start):
    preset = mo.ui.dropdown(
        list(PRESETS),
        label="Start from a preset",
        full_width=True,
        on_change=lambda name: name and set_start(PRESETS[name]),
    )
    mo.Html(fragments.heading_html(address_problems))
    return (preset,)


@app.cell
def _(controls, get_start, mo):
    _start = get_start()
    rarity = mo.ui.dropdown(
        ["stated", "derived from the population"],
        value="stated" if _start.stated_rarity else "derived from the population",
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
    choice = page.Choice.of(controls.read_sliders(knobs.value, rarity.value == "stated"))
    return (choice,)


@app.cell
def _(choice, mo):
    # The address of the page follows the sliders: it is the link that restores them.
    _address, _query = mo.query_params(), choice.settings.query()
    for _name, _text in _query.items():
        if _address.get(_name) != _text:
            _address.set(_name, _text)
    for _name in set(_address.to_dict()) - set(_query):
        _address.remove(_name)
    return


@app.cell
def _(choice, knobs, mo, fragments, preset, rarity):
    _rows = [preset]
    for _slider in choice.sliders:
        _rows += [mo.Html(fragments.knob_html(_slider)), knobs[_slider.name]]
        _sentences = choice.sentences_beside(_slider)
        if _sentences:
            _rows.append(mo.Html(fragments.block(fragments.paragraphs(_sentences, choice.kind_of_problem))))
    mo.sidebar([*_rows, rarity], width="20rem")
    return


@app.cell
def _(choice, mo, fragments):
    mo.Html(fragments.outlook_html(choice.outlook))
    return


@app.cell
def _(choice, get_round, mo):
    get_round()  # "Train again" changes it, and so runs this cell again
    session = choice.session()

    def _train():
        thread = mo.current_thread()
        session.run(lambda: thread.should_exit)

    if session is not None:
        mo.Thread(target=_train).start()
    return (session,)


@app.cell
def _(choice, mo, page, session, set_round):
    mo.stop(session is None)
    # Elements that no global name holds are forgotten, and a press of them does nothing.
    stop_button = mo.ui.button(label="Stop", on_click=lambda _: session.stop())
    again_button = mo.ui.button(label="Train again", on_click=lambda _: set_round(lambda count: count + 1))
    downloads = [
        mo.download(data=make, filename=name, label=label)
        for name, label, make in page.downloads(session, choice.settings)
    ]
    mo.hstack([stop_button, again_button, *downloads], justify="start", wrap=True)
    return again_button, downloads, stop_button


@app.cell
def _(choice, mo, page, fragments, session, streams):
    def _show(frame):
        table = mo.Html(fragments.standing_html(frame, choice.outlook, choice.settings.num_steps))
        charts = page.charts_of(frame, session.experiment, choice.outlook)
        return mo.vstack([table, mo.hstack(charts, wrap=True, justify="start", align="start")])

    def _stream():
        thread = mo.current_thread()
        for frame in session.frames(is_unwanted=lambda: thread.should_exit):
            picture = _show(frame)
            if not thread.should_exit:
                mo.output.replace(picture)

    for _earlier in streams:  # so that it cannot write over the new pictures
        _earlier.join()
    streams.clear()
    if session is not None:
        streams.append(mo.Thread(target=_stream))
        streams[0].start()
    return


if __name__ == "__main__":
    app.run()
