// The pictures with their labels: what lies over what, which class is at a point, which class stands out.

const FAINT = 0x30, DIFFERING = 0xe6c800ff; // alpha of classes that are not chosen; ABGR
const byNumber = (array, at) => array[at] ?? null;

/** One picture under the labels of one network, or under the places where two networks differ. */
class Panel {
  constructor(title, differing = false) {
    this.figure = document.getElementById("panel").content.firstElementChild.cloneNode(true);
    [this.stack, this.picture, this.canvas, this.point, this.caption] = ["div", "img", "canvas", ".point", "figcaption"].map(
      (selector) => this.figure.querySelector(selector),
    );
    this.title = title;
    this.caption.textContent = title;
    this.figure.classList.toggle("differing", differing);
    this.stack.setAttribute("aria-label", `${title}: the arrow keys move a point, and its class is told (with Shift by one pixel)`);
  }

  /** Colours over the picture: `pixels` ABGR of each pixel. */
  draw(pixels, width, height) {
    [this.canvas.width, this.canvas.height] = [width, height];
    this.canvas.getContext("2d").putImageData(new ImageData(new Uint8ClampedArray(pixels.buffer), width, height), 0, 0);
  }
}

/** All panels of one answer; `tell` is called with a line for the place that is pointed at. */
export class Panels {
  constructor(place, networks, tell) {
    this.networks = networks;
    this.tell = tell;
    this.panels = networks.map((network) => new Panel(network.title));
    if (networks.length > 1) this.panels.push(new Panel("Where they differ", true));
    place.replaceChildren(...this.panels.map((panel) => panel.figure));
    this.place = place;
    for (const panel of this.panels) {
      panel.stack.addEventListener("pointermove", (event) => this.#pointed(panel, event));
      panel.stack.addEventListener("pointerdown", (event) => this.#pointed(panel, event));
      panel.stack.addEventListener("keydown", (event) => this.#moved(event));
      panel.stack.addEventListener("focus", () => this.#point(true));
      panel.stack.addEventListener("blur", () => this.#point(false));
    }
  }

  /** Shows an answer: `picture` the address of the picture, `labels` a Uint8Array of each network. */
  show(answer, picture, labels) {
    [this.width, this.height] = answer.view;
    this.labels = labels;
    this.at ??= [0.5, 0.5];
    for (const panel of this.panels) {
      panel.picture.src = picture;
      panel.stack.style.setProperty("--width", this.width * (answer.pixel_aspect ?? 1)); // of films
      panel.stack.style.setProperty("--height", this.height);
    }
    this.networks.forEach((network, number) => {
      this.panels[number].picture.alt = `${answer.title}, under the labels of ${network.title}`;
    });
    if (answer.differing !== null) {
      const last = this.panels.at(-1);
      last.picture.alt = `${answer.title}, with the places where the networks differ`;
      last.caption.textContent = `${last.title}: ${percent(answer.differing)} of the pixels`;
    }
    this.choose(null);
  }

  /** Share of the picture's width, in percent, that is left without labels. */
  slide(percentage) {
    this.place.style.setProperty("--slide", `${percentage}%`);
  }

  /** Lets the class of a name stand out, null for none. */
  choose(name) {
    this.networks.forEach((network, number) => {
      const table = new Uint32Array(256);
      network.colours.forEach(([red, green, blue], label) => {
        const alpha = name === null || network.classes[label] === name ? 0xff : FAINT;
        table[label] = ((alpha << 24) | (blue << 16) | (green << 8) | red) >>> 0;
      });
      this.panels[number].draw(Uint32Array.from(this.labels[number], (label) => table[label]), this.width, this.height);
    });
    if (this.networks.length > 1) this.#drawDifferences(name);
  }

  #drawDifferences(name) {
    const [first, second] = this.networks;
    const common = second.classes.map((one) => first.classes.indexOf(one));
    const chosen = first.classes.map((one) => name === null || one === name);
    const of = second.classes.map((one) => name === null || one === name);
    const [ours, theirs] = this.labels;
    const pixels = new Uint32Array(ours.length);
    for (let i = 0; i < ours.length; i++) {
      if (ours[i] !== common[theirs[i]] && (chosen[ours[i]] || of[theirs[i]])) pixels[i] = DIFFERING;
    }
    this.panels.at(-1).draw(pixels, this.width, this.height);
  }

  #pointed(panel, event) {
    const box = panel.stack.getBoundingClientRect();
    this.at = [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height].map(inside);
    this.#point(document.activeElement === panel.stack && panel.stack.matches(":focus-visible"));
  }

  #moved(event) {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const far = event.shiftKey ? 1 : Math.max(1, Math.round(Math.max(this.width, this.height) / 40));
    this.at = [this.at[0] + (step[0] * far) / this.width, this.at[1] + (step[1] * far) / this.height].map(inside);
    this.#point(true);
  }

  /** Tells the class at the point, and marks it in all panels where it is moved by keys. */
  #point(marked) {
    const [x, y] = [Math.floor(this.at[0] * this.width), Math.floor(this.at[1] * this.height)];
    for (const { point, stack } of this.panels) {
      point.hidden = !marked;
      stack.style.setProperty("--x", `${((x + 0.5) / this.width) * 100}%`);
      stack.style.setProperty("--y", `${((y + 0.5) / this.height) * 100}%`);
    }
    this.tell(
      this.networks.map((network, number) => {
        const label = this.labels[number][y * this.width + x];
        return { title: network.title, name: byNumber(network.classes, label), colour: byNumber(network.colours, label) };
      }),
    );
  }
}

/** A share as text. */
export function percent(share) {
  if (share > 0 && share < 0.001) return "< 0.1 %";
  return share < 1 && share > 0.999 ? "> 99.9 %" : `${(100 * share).toFixed(1)} %`;
}

const inside = (share) => Math.min(Math.max(share, 0), 0.999999);
