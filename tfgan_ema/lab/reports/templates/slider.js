// The browser keeps a slider's place over a reload, so each is asked once at the start.
for (const strip of document.querySelectorAll(".strip")) {
  const slider = strip.querySelector("input"), output = strip.querySelector("output")
  const frames = strip.querySelectorAll(".frame")
  const show = () => {
    frames.forEach((frame, i) => { frame.hidden = i != slider.value })
    output.value = frames[slider.value].dataset.step
    slider.setAttribute("aria-valuetext", "step " + output.value)
  }
  slider.addEventListener("input", show)
  show()
}
