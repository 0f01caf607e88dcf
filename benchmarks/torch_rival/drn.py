"""Case (c) of the DRN pair in PyTorch: a student under a frozen teacher, two discriminators, distilled on both domains.

The same work as dakd_jax.training.step.train_step's (docs/METHOD.md) under the same names of weights and losses.
"""

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.torch_rival import parts
from dakd_jax.models import discriminator
from dakd_jax.models.backbones import drn
from dakd_jax.models.preprocessing import BGR_MEAN
from dakd_jax.training.teaching import forms

SOURCE, TARGET = 0.0, 1.0  # labels of the domains


def conv(given, features, kernel, stride=1, dilation=1):
    return nn.Conv2d(given, features, kernel, stride, dilation * (kernel - 1) // 2, dilation, bias=False)


class Block(nn.Module):
    """Two 3x3 convolutions beside the identity or a 1x1 projection."""

    def __init__(self, given, features, stride, dilations):
        super().__init__()
        self.conv1, self.bn1 = conv(given, features, 3, stride, dilations[0]), nn.BatchNorm2d(features)
        self.conv2, self.bn2 = conv(features, features, 3, 1, dilations[1]), nn.BatchNorm2d(features)
        self.relu, self.downsample = nn.ReLU(inplace=True), None
        if stride != 1 or given != features:
            self.downsample = nn.Sequential(conv(given, features, 1, stride), nn.BatchNorm2d(features))

    def forward(self, x):
        y = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        y += x if self.downsample is None else self.downsample(x)
        return self.relu(y)


class Trunk(nn.Module):
    """DRN-D with basic blocks: the outputs of layers 0 to 8 by name."""

    def __init__(self, arch: str, width: float):
        super().__init__()
        plan = drn.ARCHITECTURES[arch]
        if plan.family != "D" or plan.bottleneck:
            raise ValueError(f"{arch}: the rival has DRN-D with basic blocks alone")
        channels, n = plan.scaled_channels(width), plan.blocks
        self.layer0 = self._plain(3, channels[0], 1, kernel=7)
        self.layer1 = self._plain(channels[0], channels[0], n[0])
        self.layer2 = self._plain(channels[0], channels[1], n[1], stride=2)
        self.layer3 = self._blocks(channels[1], channels[2], n[2], stride=2)
        self.layer4 = self._blocks(channels[2], channels[3], n[3], stride=2)
        self.layer5 = self._blocks(channels[3], channels[4], n[4], dilation=2)
        self.layer6 = self._blocks(channels[4], channels[5], n[5], dilation=4)
        self.layer7 = self._plain(channels[5], channels[6], n[6], dilation=2)
        self.layer8 = self._plain(channels[6], channels[7], n[7])

    def _plain(self, given, features, count, *, kernel=3, stride=1, dilation=1):
        layers = []
        for i in range(count):
            first = conv(given if i == 0 else features, features, kernel, stride if i == 0 else 1, dilation)
            layers += [first, nn.BatchNorm2d(features), nn.ReLU(inplace=True)]
        return nn.Sequential(*layers)

    def _blocks(self, given, features, count, *, stride=1, dilation=1):
        pair = (dilation, dilation)
        first = [Block(given, features, stride, pair)] if count else []
        return nn.Sequential(*first, *(Block(features, features, 1, pair) for _ in range(count - 1)))

    def forward(self, x):
        found = {}
        for name, layer in self.named_children():
            x = found[name] = layer(x)
        return found


class Segmenter(nn.Module):
    """uint8 pictures [B, H, W, 3] to log-probabilities [B, C, H, W] by level, at their size."""

    def __init__(self, model, variables, how: parts.How):
        super().__init__()
        self.model, self.how = model, how
        self.base = Trunk(model.arch, model.width)
        parts.heads(self, variables)
        parts.filled(self, variables)
        mean = torch.tensor(BGR_MEAN).to(self.seg1.weight.dtype).view(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        how.on_device(self)

    def logits(self, pictures, levels):
        """{level: (logits, their stride)}."""
        x = pictures.permute(0, 3, 1, 2).flip(1).to(self.mean.dtype) - self.mean
        with self.how.autocast():
            features = self.base(x.contiguous(memory_format=torch.channels_last))
            logits = {"auxiliary": self.seg2(features[self.model.auxiliary_tap])} if "auxiliary" in levels else {}
            logits["main"] = self.seg1(features[self.model.main_tap])
        strides = {"auxiliary": self._stride(self.model.auxiliary_tap), "main": self._stride(self.model.main_tap)}
        return {of: (x, strides[of]) for of, x in logits.items()}

    def forward(self, pictures, levels=parts.LEVELS):
        return parts.log_probabilities(self.logits(pictures, levels), pictures.shape[1:3])

    @staticmethod
    def _stride(tap):
        return drn.STRIDES[int(tap.removeprefix("layer"))]


class Discriminator(nn.Module):
    """Log-probabilities [B, C, H, W] to logits [B, 1, H/32, W/32]; positive means target."""

    def __init__(self, params, how: parts.How):
        super().__init__()
        self.how = how
        for name, of in params.items():
            given, features = of["kernel"].shape[2:]
            place = (discriminator.KERNEL, discriminator.STRIDE, discriminator.PADDING)
            setattr(self, name, nn.Conv2d(given, features, *place))
        how.on_device(parts.filled(self, {"params": params}))

    def forward(self, log_probabilities):
        x = log_probabilities.exp()
        with self.how.autocast():
            for i in range(1, len(discriminator.CHANNELS) + 1):
                x = F.leaky_relu(getattr(self, f"conv{i}")(x), discriminator.SLOPE, inplace=True)
            x = self.classifier(x)
        return x.to(torch.promote_types(x.dtype, torch.float32))


class Rival(parts.Rival):
    """The step of case (c).

    Args:
      models: ours, a step.options.StepModels of DRN-D.
      state, teacher: ours at step 0.
      weights: a step.options.LossWeights.
      rates: {'segmenter', 'discriminator'}.
      optimizer: an optimizers.SegmenterOptimizer; the discriminators have the adversarial method's own Adam.
      answers: {domain: a teaching.forms.NetworkAnswers} of what batches hold in place of a teacher.
    """

    def __init__(self, models, state, teacher, weights, rates, *, optimizer, adam, how: parts.How, answers=()):
        student = Segmenter(models.segmenter, {"params": state.params, "batch_stats": state.batch_stats}, how)
        super().__init__(student, how)
        self.weights = weights
        self.answers, self.teacher = dict(answers), None
        if not answers:
            self.teacher = Segmenter(models.teacher, teacher, how).eval().requires_grad_(False)
        opponents = state.adaptation["adversarial"]["discriminators"]
        self.discriminators = nn.ModuleDict({of: Discriminator(opponents[of], how) for of in parts.LEVELS})
        self.optimizer = parts.sgd(self.student, optimizer, float(rates["segmenter"]))
        self.adam = torch.optim.Adam(
            self.discriminators.parameters(), float(rates["discriminator"]), (adam.b1, adam.b2), adam.eps, fused=True
        )
        losses = (self._source_loss, self._target_loss, self._discriminator_loss)
        self._source, self._target, self._opponents = map(how.compiled, losses)

    def step(self, batch):
        """One iteration. {curve, named as ours: scalar, not fetched}."""
        self.optimizer.zero_grad(set_to_none=True)
        self.adam.zero_grad(set_to_none=True)
        answers = [batch.get(forms.entry(domain)) for domain in ("source", "target")]
        loss, found, source = self._source(batch["source_image"], batch["source_label"], answers[0])
        loss.backward()
        self.discriminators.requires_grad_(False)  # they judge, and learn from what follows alone
        loss, more, target = self._target(batch["target_image"], answers[1])
        loss.backward()
        self.discriminators.requires_grad_(True)
        loss, last = self._opponents(source, target)
        loss.backward()
        self.optimizer.step()
        self.adam.step()
        return found | more | last

    def state_bytes(self) -> int:
        modules = [self.student, *[self.teacher] * (self.teacher is not None), self.discriminators]
        return parts.state_bytes(*modules, self.optimizer, self.adam)

    def _source_loss(self, pictures, labels, answers):
        seen = self.student(pictures)
        main, auxiliary = (F.nll_loss(seen[of], labels, ignore_index=255) for of in ("main", "auxiliary"))
        weights = self.weights
        loss = weights.terms["segmentation"] * (main + weights.seg_auxiliary * auxiliary)
        distilled, found = self._distillation("source", pictures, answers, seen)
        loss = loss + weights.distil_source * distilled
        return loss, _told("source", loss, {"seg_main": main, "seg_auxiliary": auxiliary} | found), _detached(seen)

    def _target_loss(self, pictures, answers):
        seen = self.student(pictures)
        found = {f"adversarial_{of}": _judged(self.discriminators[of](seen[of]), SOURCE) for of in parts.LEVELS}
        lambdas = self.weights.methods["adversarial"]
        loss = sum(lambdas[of] * found[f"adversarial_{of}"] for of in parts.LEVELS)
        distilled, more = self._distillation("target", pictures, answers, seen)
        loss = loss + self.weights.distil_target * distilled
        return loss, _told("target", loss, found | more), _detached(seen)

    def _distillation(self, domain, pictures, answers, seen):
        """(the weighted loss, {curve: value})."""
        with torch.no_grad():
            guide = self.teacher(pictures) if answers is None else self._told(domain, answers)
        kl = {of: F.kl_div(seen[of], guide[of], log_target=True, reduction="none").mean() for of in parts.LEVELS}
        mse = F.mse_loss(seen["auxiliary"], guide["auxiliary"])
        ce = F.nll_loss(seen["main"], guide["main"].argmax(1))
        weights = self.weights
        loss = weights.terms["kl"] * (kl["main"] + weights.seg_auxiliary * kl["auxiliary"])
        loss = loss + weights.terms["mse"] * mse + weights.terms["ce"] * ce
        told = {"kl_main": kl["main"], "kl_auxiliary": kl["auxiliary"], "mse_auxiliary": mse, "quasi_ce_main": ce}
        return loss, told

    def _told(self, domain, answers):
        """Log-probabilities by level, of answers [B, entries]."""
        (shown,), first, logits = self.answers[domain].shown, 0, {}
        for of in shown.logits:
            part = answers[:, first : first + of.entries].reshape(-1, *of.shape).contiguous().permute(0, 3, 1, 2)
            logits[of.level] = (part, of.stride)
            first += of.entries
        return parts.log_probabilities(logits, shown.size)

    def _discriminator_loss(self, source, target):
        found = {
            f"{name}_{of}": 0.5 * _judged(self.discriminators[of](seen[of]), domain)
            for name, seen, domain in (("source", source, SOURCE), ("target", target, TARGET))
            for of in parts.LEVELS
        }
        loss = sum(found.values())
        return loss, {f"loss/discriminator/{name}": value.detach() for name, value in found.items()}


def _judged(logits, domain):
    return (F.softplus(logits) - logits * domain).mean()


def _detached(outputs):
    return {name: value.detach() for name, value in outputs.items()}


def _told(domain, loss, found):
    return {f"loss/{domain}/{curve}": value.detach() for curve, value in (found | {"total": loss}).items()}
