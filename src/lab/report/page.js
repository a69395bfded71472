"use strict";
// One cursor for both drawings and both recordings.
const line = document.getElementById("timeline");
const cursor = document.getElementById("cursor");
const label = document.getElementById("cursor-time");
const left = +line.dataset.left, right = +line.dataset.right, length = +line.dataset.length;
const players = [...document.querySelectorAll("audio")];

function point(seconds) {
  const x = left + (seconds / length) * (right - left);
  cursor.setAttribute("x1", x);
  cursor.setAttribute("x2", x);
  label.setAttribute("x", x);
  label.textContent = seconds.toFixed(3) + " s";
}

function secondsAt(event) {
  const box = line.getBoundingClientRect();
  const x = ((event.clientX - box.left) / box.width) * line.viewBox.baseVal.width;
  return Math.min(length, Math.max(0, ((x - left) / (right - left)) * length));
}

line.addEventListener("mousemove", (event) => point(secondsAt(event)));
line.addEventListener("click", (event) => {
  const box = line.getBoundingClientRect();
  const lower = event.clientY - box.top > box.height / 2;
  const player = players[lower && players.length > 1 ? 1 : 0];
  if (!player) return;
  players.forEach((other) => other.pause());
  player.currentTime = Math.max(0, secondsAt(event) - +player.dataset.begins);
  player.play();
});
players.forEach((player) =>
  player.addEventListener("timeupdate", () => point(player.currentTime + +player.dataset.begins)));

const detail = document.getElementById("detail");
for (const rung of document.querySelectorAll(".rung")) {
  rung.addEventListener("mouseenter", () => point(+rung.dataset.at));
  const choose = () => {
    document.querySelectorAll(".chosen").forEach((other) => other.classList.remove("chosen"));
    rung.classList.add("chosen");
    detail.textContent = rung.dataset.detail;
    point(+rung.dataset.at);
  };
  rung.addEventListener("click", choose);
  rung.addEventListener("focus", choose);
}
