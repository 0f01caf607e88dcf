// The page: files go to the server, answers come back; what the server refuses is one line.
import { Panels, percent } from "/panels.js";

const get = (id) => document.getElementById(id);
const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const NOBODY = "no answer from the server: is dakd show still running?";
const KINDS = { labels: "Labels (class numbers)", colours: "Colours", overlay: "Overlay" };
const ofClass = (name, colour) => {
  const swatch = make("span", { className: "swatch" });
  swatch.style.setProperty("--colour", `rgb(${colour.join(" ")})`);
  return [swatch, name];
};

let about, panels, request = null, chosen = null, latest = 0; // counts what was asked for: older answers are passed over
let film = null, wanted = null; // the film that is shown, and the number of the frame that is asked for next

// What is told

function complain(line) {
  get("error").textContent = line;
  get("error").hidden = !line;
}

function busy(line, share = null) {
  get("progress").hidden = !line;
  if (get("doing").textContent !== line) get("doing").textContent = line;
  if (share === null) get("bar").removeAttribute("value");
  else get("bar").value = share;
}

async function asked(address, how = {}) {
  let answer;
  try {
    answer = await fetch(address, how);
  } catch (error) {
    throw error.name === "AbortError" ? error : new Error(NOBODY);
  }
  if (!answer.ok) throw new Error((await answer.json().catch(() => ({}))).error ?? `the server says ${answer.status}`);
  return answer;
}

// From a file to its answer

function send(file) {
  return new Promise((resolve, reject) => {
    request = new XMLHttpRequest();
    // A name may hold halves of letters, which no address can.
    const name = encodeURIComponent(file.name.replace(/\p{Surrogate}/gu, "?"));
    request.open("POST", `/pictures?name=${name}`);
    request.setRequestHeader("Content-Type", "application/octet-stream");
    request.responseType = "json";
    request.upload.onprogress = ({ loaded, total }) => {
      const share = total ? Math.floor((100 * loaded) / total) : 100;
      if (share < 100) busy(`Sending ${file.name}: ${share} %`, share);
      else busy("The network is at work …");
    };
    request.upload.onload = () => busy("The network is at work …");
    request.onload = () => {
      if (request.status === 200) resolve(request.response);
      else reject(new Error(request.response?.error ?? `the server says ${request.status}`));
    };
    request.onerror = () => reject(new Error(`${file.name} could not be read, or there is ${NOBODY}`));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    request.send(file);
  });
}

async function take(files) {
  const [file] = files;
  if (!file) return complain("there is no file in this; drop a picture");
  request?.abort();
  const own = ++latest;
  wanted = null;
  complain("");
  try {
    if (!file.size) throw new Error(`${file.name}: it is empty, or a folder; choose a file`);
    if (file.size > about.most_bytes) {
      const [size, most] = [file.size, about.most_bytes].map((bytes) => `${Math.ceil(bytes / 2 ** 20)} MB`);
      throw new Error(`${file.name}: ${size} are more than ${most}; choose a smaller file`);
    }
    busy(`Sending ${file.name} …`, 0);
    const answer = await send(file);
    if (own === latest && (await show(answer, own))) listFrames(answer);
    if (own === latest && files.length > 1) complain(`of ${files.length} files the first is shown`);
  } catch (error) {
    if (own === latest && error.name !== "AbortError") complain(error.message);
  } finally {
    if (own === latest) busy("");
  }
}

// From an answer to the page

async function show(answer, own) {
  const addresses = about.networks.map((_, number) => `/pictures/${answer.name}/${number}/view`);
  const labels = await Promise.all(
    addresses.map(async (address) => new Uint8Array(await (await asked(address)).arrayBuffer())),
  );
  if (own !== latest) return false;
  get("title").textContent = answer.title;
  get("size").textContent = `${answer.size[0]} × ${answer.size[1]} pixels`;
  get("shown").hidden = false;
  panels.show(answer, `/pictures/${answer.name}/view.jpg`, labels);
  chosen = null;
  listAreas(answer);
  listDownloads(answer);
  get("here").textContent = "Point at a picture, or move over it with Tab and the arrow keys: its class is told here.";
  return true;
}

// Films

function listFrames(answer) {
  film = answer.film ? answer : null;
  wanted = null;
  get("frames").hidden = get("whole").hidden = !film;
  if (!film) return;
  [get("frame").max, get("frame").value] = [film.times.length - 1, 0];
  tellTime();
}

function tellTime() {
  const number = Number(get("frame").value);
  get("time").textContent = `${film.times[number].toFixed(2)} s, ${number + 1} of ${film.times.length}`;
  get("frame").setAttribute("aria-valuetext", get("time").textContent);
}

/** Shows a frame; while one is on its way only the last of those that are asked for waits. */
async function goTo(number) {
  const waiting = wanted !== null;
  wanted = number;
  if (waiting) return;
  request?.abort();
  const own = ++latest;
  complain("");
  try {
    for (let now = null; own === latest && now !== wanted; ) {
      now = wanted;
      busy("The network is at work …");
      const answer = await (await asked(`/films/${film.film}/${now}`, { method: "POST" })).json();
      if (own === latest) await show({ ...answer, title: film.title, pixel_aspect: film.pixel_aspect }, own);
    }
  } catch (error) {
    if (own === latest) complain(error.message);
  } finally {
    if (own === latest) {
      wanted = null;
      busy("");
    }
  }
}

function listAreas(answer) {
  const [pixels, rows, absent] = [answer.size[0] * answer.size[1], [], []];
  const names = [...new Set(about.networks.flatMap((network) => network.classes))];
  for (const name of names) {
    const shares = about.networks.map(({ classes }, number) => {
      const label = classes.indexOf(name);
      return label < 0 ? null : answer.areas[number][label] / pixels;
    });
    if (shares.some(Boolean)) rows.push({ name, shares });
    else absent.push(name);
  }
  const largest = ({ shares }) => shares[0] ?? 0;
  rows.sort((one, other) => largest(other) - largest(one) || (other.shares[1] ?? 0) - (one.shares[1] ?? 0));
  const head = make("tr", {}, make("th", { scope: "col", textContent: "Class" }));
  head.append(...about.networks.map(({ title }) => make("th", { scope: "col", textContent: title })));
  const longest = Math.max(...rows.flatMap(({ shares }) => shares));
  get("areas").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows.map((row) => areaRow(row, longest))));
  get("absent").textContent = absent.length ? `Not there: ${absent.join(", ")}` : "";
}

function areaRow({ name, shares }, longest) {
  const owner = about.networks.find(({ classes }) => classes.includes(name));
  const colour = owner.colours[owner.classes.indexOf(name)];
  const button = make("button", { type: "button", className: "class" }, ...ofClass(name, colour));
  button.setAttribute("aria-pressed", "false");
  button.addEventListener("click", () => choose(button, name));
  const cells = shares.map((share) => {
    const bar = make("span");
    bar.style.setProperty("--share", `${(100 * (share ?? 0)) / longest}%`);
    bar.style.setProperty("background", `rgb(${colour.join(" ")})`);
    return make("td", {}, share === null ? "no such class" : percent(share), make("span", { className: "bar" }, bar));
  });
  return make("tr", {}, make("th", { scope: "row" }, button), ...cells);
}

function choose(button, name) {
  chosen = chosen === name ? null : name;
  for (const one of document.querySelectorAll(".class")) one.setAttribute("aria-pressed", one === button && chosen !== null);
  panels.choose(chosen);
}

function listDownloads(answer) {
  const stem = answer.title.replace(/\.[^.]*$/, "");
  get("downloads").replaceChildren(
    ...about.networks.map(({ title }, number) => {
      const links = Object.entries(KINDS).map(([kind, textContent]) =>
        make("a", {
          className: "button", textContent, href: `/pictures/${answer.name}/${number}/${kind}.png`,
          download: `${stem}-${number ? "beside-" : ""}${kind}.png`, ariaLabel: `${textContent} of ${title}`,
        }),
      );
      return make("li", {}, make("span", { textContent: title }), ...links);
    }),
  );
}

function tell(found) {
  const several = found.length > 1;
  const parts = found.flatMap(({ title, name, colour }, number) => [
    ...(number ? [" · "] : []), ...(several ? [`${title}: `] : []), ...(name ? ofClass(name, colour) : ["no class"]),
  ]);
  const text = parts.map((part) => part.textContent ?? part).join("");
  if (get("here").textContent !== text) get("here").replaceChildren(...parts);
}

// What a person does

function slide() {
  const value = Number(get("slide").value);
  panels.slide(100 - value);
  get("slide").setAttribute("aria-valuetext", `labels over ${value} % of the picture`);
}

function listen() {
  get("choose").addEventListener("click", () => get("file").click());
  get("file").addEventListener("change", () => {
    const files = [...get("file").files];
    get("file").value = ""; // the same file may be chosen again
    if (files.length) take(files);
  });
  get("cancel").addEventListener("click", () => {
    latest++;
    wanted = null;
    request?.abort();
    busy("");
    get("choose").focus();
  });
  get("slide").addEventListener("input", slide);
  get("frame").addEventListener("input", tellTime);
  get("frame").addEventListener("change", () => goTo(Number(get("frame").value)));
  let depth = 0; // of elements that something is dragged over
  const dragging = (change) => {
    depth = change === null ? 0 : Math.max(0, depth + change);
    document.body.classList.toggle("dragging", depth > 0);
  };
  addEventListener("dragenter", (event) => (event.preventDefault(), dragging(1)));
  addEventListener("dragleave", () => dragging(-1));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    dragging(null);
    take([...event.dataTransfer.files]);
  });
  addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && take([...clipboardData.files]));
}

async function begin() {
  about = await (await asked("/networks")).json();
  get("networks").replaceChildren(
    ...about.networks.map(({ title, about }) => make("li", {}, `${title} `, make("span", { textContent: about }))),
  );
  panels = new Panels(get("panels"), about.networks, tell);
  listen();
  slide();
  document.documentElement.dataset.ready = "true";
}

begin().catch((error) => complain(error.message));
