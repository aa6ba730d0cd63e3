package clinical

import (
	"cmp"
	"strconv"
	"strings"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"

	"github.com/precept-cds/precept/engine/fact"
)

// coreTexts holds the wording of the library and the engine in other languages
// than English. A test checks every language against the English texts used.
var coreTexts = map[string]map[string]string{
	"de": {
		"Remove the order for {drug}": "Verordnung von {drug} entfernen",
		"Source":                      "Quelle",
		"Based on":                    "Grundlage",
		"Not known":                   "Nicht bekannt",
		"reason not given":            "Grund nicht angegeben",
		"Could not be used":           "Nicht verwendbar",
		"Last value that can be used, and that would raise them": "Letzter verwendbarer Wert, der sie auslösen würde",
		"{drug}: {value} of {when} would raise an alert, but it may not hold: {why}": "" +
			"{drug}: {value} vom {when} würde warnen, gilt aber vielleicht nicht mehr: {why}",
		"This rule is a draft and has no clinical approval.": "Diese Regel ist ein Entwurf und klinisch nicht " +
			"freigegeben.",
		"These checks could not be completed:": "Diese Prüfungen konnten nicht abgeschlossen werden:",

		"No rule was asked about these orders, because they carry no code that the terminology knows.": "" +
			"Zu diesen Verordnungen wurde keine Regel befragt, weil sie keinen Code tragen, " +
			"den die Terminologie kennt.",

		"No rule was asked about orders that are not shown to be for this patient.": "" +
			"Zu Verordnungen, die nicht erkennbar für diesen Patienten sind, wurde keine Regel befragt.",

		"Of these medications only the ingredients that the terminology knows were checked.": "" +
			"Von diesen Arzneimitteln wurden nur die Wirkstoffe geprüft, die die Terminologie kennt.",

		"Safety checks were not done": "Sicherheitsprüfungen wurden nicht durchgeführt",
		"all checks of {pack}":        "alle Prüfungen von {pack}",
		"Precept could not do these checks for this order. Check by hand:": "Precept konnte diese Prüfungen nicht " +
			"durchführen. Bitte von Hand prüfen:",
		"These findings are in the record of this call:": "Diese Befunde stehen in der Aufzeichnung dieses Aufrufs:",

		"Will monitor":                       "Wird überwacht",
		"Tolerated before":                   "Früher vertragen",
		"Benefit outweighs risk":             "Nutzen überwiegt Risiko",
		"Dose adjusted":                      "Dosis angepasst",
		"Does not apply to this patient":     "Trifft auf diesen Patienten nicht zu",
		"Data shown is wrong or out of date": "Gezeigte Daten falsch oder veraltet",

		"What would help":                         "Was weiterhilft",
		"Have the EHR send {what} with the call.": "{what}: vom KIS mit dem Aufruf senden lassen.",
		"Have the error looked into with which the EHR answered for {what}.": "{what}: Fehler des KIS beim Abruf " +
			"prüfen lassen.",
		"Have the EHR send all of {what}, not only its first page.": "{what}: vom KIS vollständig senden lassen, " +
			"nicht nur die erste Seite.",
		"Look up {what} in the EHR: part of it is not sent here.": "{what}: im KIS nachsehen, ein Teil wird nicht " +
			"übermittelt.",
		"Record or obtain {what}.": "{what}: dokumentieren oder bestimmen.",
		"Obtain a newer {what}.":   "{what}: neu bestimmen.",
		"Confirm, complete or remove {what} in the chart.": "{what}: in der Akte bestätigen, abschließen oder " +
			"entfernen.",
		"Enter {what} with a code.": "{what}: mit Code erfassen.",
		"Enter {what} with a code of a system that this check knows, or have its code mapped.": "{what}: mit einem " +
			"Code erfassen, den diese Prüfung kennt, oder den Code zuordnen lassen.",
		"Have {what} reported in a UCUM unit of the same kind.": "{what}: in einer UCUM-Einheit derselben Art " +
			"übermitteln lassen.",
		"Enter the dose of {what} as number, unit and frequency.": "{what}: Dosis als Zahl, Einheit und Häufigkeit " +
			"erfassen.",
		"Have the EHR send what {what} refers to, or have its code added to the terminology.": "{what}: das, worauf " +
			"verwiesen wird, mitsenden oder den Code in die Terminologie aufnehmen lassen.",
		"Settle in the chart what contradicts itself about {what}.": "{what}: Widerspruch in der Akte klären.",
		"Check {what} for a slip of the number, the unit or the date.": "{what}: Zahl, Einheit und Datum auf " +
			"Irrtum prüfen.",
		"Record {what} more precisely.":    "{what}: genauer dokumentieren.",
		"Ask somebody who may see {what}.": "{what}: bei jemandem mit Zugriff erfragen.",
		"Judge {what} by other means: the method does not hold for this patient.": "{what}: anders beurteilen, die " +
			"Methode gilt für diesen Patienten nicht.",
		"Ask whether {what} is still taken, and renew or end it in the chart.": "{what}: fragen, ob es noch " +
			"eingenommen wird, und in der Akte verlängern oder beenden.",
		"Repeat {what}, or have its value sent.":                   "{what}: wiederholen oder den Wert senden lassen.",
		"Have the EHR name this patient as the subject of {what}.": "{what}: im KIS diesem Patienten zuordnen lassen.",
		"Read {what} in the EHR: it says something that changes its meaning.": "{what}: im KIS nachlesen, eine Angabe " +
			"ändert die Bedeutung.",

		"{what} not supplied by the EHR":                  "{what} vom KIS nicht geliefert",
		"{what} could not be fetched":                     "{what} konnte nicht abgerufen werden",
		"only part of {what} was supplied":                "{what} nur teilweise geliefert",
		"part of {what} was withheld":                     "Teil von {what} zurückgehalten",
		"no {what} on record":                             "{what} nicht dokumentiert",
		"last {what} is too old":                          "letzter Wert zu alt: {what}",
		"{what} only in a status that does not count":     "{what} nur in einem Status, der nicht zählt",
		"{what} given in words only":                      "{what} nur als Text angegeben",
		"{what} without a code that this check knows":     "{what} ohne Code, den diese Prüfung kennt",
		"category of condition":                           "Kategorie der Diagnose",
		"procedure":                                       "Prozedur",
		"procedures":                                      "Prozeduren",
		"date of procedure":                               "Datum der Prozedur",
		"encounter":                                       "Behandlungsfall",
		"encounters":                                      "Behandlungsfälle",
		"class of encounter":                              "Art des Behandlungsfalls",
		"location of encounter":                           "Ort der Behandlung",
		"locations":                                       "Behandlungsorte",
		"immunizations":                                   "Impfungen",
		"pregnancy status":                                "Schwangerschaftsstatus",
		"date of pregnancy status":                        "Datum des Schwangerschaftsstatus",
		"expected date of delivery":                       "errechneter Geburtstermin",
		"date of condition":                               "Datum der Diagnose",
		"{what} in a unit that cannot be converted":       "{what} in nicht umrechenbarer Einheit",
		"dose of {what} cannot be read":                   "Dosis von {what} nicht lesbar",
		"{what} could not be resolved":                    "{what} nicht auflösbar",
		"{what} is contradictory":                         "{what} widersprüchlich",
		"{what} is implausible":                           "{what} unplausibel",
		"{what} is not precise enough":                    "{what} nicht genau genug",
		"{what} is masked":                                "{what} gesperrt",
		"{what} not shown to be this patient's":           "{what}: nicht erkennbar, dass von diesem Patienten",
		"{what} with content that is not understood here": "{what} mit Angaben, die hier nicht verstanden werden",
		"{what} does not apply to this patient":           "{what} für diesen Patienten nicht anwendbar",
		"{what}: what was supplied is used up":            "{what}: der abgegebene Vorrat ist aufgebraucht",
		"eGFR":                                            "eGFR",
		"body height":                                     "Körpergröße",
		"body mass index":                                 "Body-Mass-Index",
		"heart rate":                                      "Herzfrequenz",
		"QT interval":                                     "QT-Zeit",
		"QTc interval":                                    "QTc-Zeit",
		"ideal weight":                                    "Idealgewicht",
		"equation for children":                           "Formel für Kinder",
		"heart rate at the time of the ECG":               "Herzfrequenz zum Zeitpunkt des EKG",
		"creatinine":                                      "Kreatinin",
		"adult equation":                                  "Formel für Erwachsene",
		"medications":                                     "Medikation",
		"medication":                                      "Medikament",
		"time of medication":                              "Zeitpunkt der Medikation",
		"medication status and dates":                     "Status und Zeitangaben der Medikation",
		"route or form of medication":                     "Applikationsweg oder Darreichungsform des Medikaments",
		"route or form of the ordered medication":         "Applikationsweg oder Darreichungsform der Verordnung",
		"drug code in the terminology release":            "Arzneimittelcode in der Terminologie",
		"order":                                           "Verordnung",
		"selections":                                      "Auswahl der Verordnungen",
		"dosage of medication":                            "Dosierung des Medikaments",
		"known in part":                                   "nur zum Teil bekannt",
		"condition":                                       "Diagnose",
		"conditions":                                      "Diagnosen",
		"allergies":                                       "Allergien",
		"dose":                                            "Dosis",
		"dosage":                                          "Dosierung",
		"supply":                                          "Reichweite der Verordnung",
		"body weight":                                     "Körpergewicht",
		"strength of medication":                          "Wirkstärke des Medikaments",
		"medication by body weight":                       "Medikament nach Körpergewicht",
		"medication with several ingredients":             "Medikament mit mehreren Wirkstoffen",
		"morphine equivalence":                            "Morphin-Äquivalenz",
		"morphine equivalence by this route":              "Morphin-Äquivalenz auf diesem Applikationsweg",
		"allergy":                                         "Allergie",
		"type of allergy":                                 "Art der Allergie",
		"category of allergy":                             "Kategorie der Allergie",
		"criticality of allergy":                          "Schweregrad der Allergie",
		"reaction of allergy":                             "Reaktion der Allergie",
		"laboratory results":                              "Laborwerte",
		"patient":                                         "Patientendaten",
		"Patient":                                         "Patient",
		"birth date":                                      "Geburtsdatum",
		"sex":                                             "Geschlecht",
		"age before birth":                                "Alter vor der Geburt",
		"date of {what}":                                  "Datum von {what}",
		"date of evidence":                                "Datum der Befunde",
		"evidence":                                        "Befunde",
		"now":                                             "jetzt",
		"today":                                           "heute",
		"no conditions given":                             "Regel ohne Bedingungen",
		"{what} was reported without a value":             "{what} ohne Wert gemeldet",
	},
}

// coreCounts holds the wording of counts in other languages than English, under the
// English text for many: for each form that the language tells apart by CLDR, its
// text.
var coreCounts = map[string]map[string]map[plural.Form]string{
	"de": {
		"{drug}: {n} checks could not be completed: {why}": {
			plural.One:   "{drug}: 1 Prüfung konnte nicht abgeschlossen werden: {why}",
			plural.Other: "{drug}: {n} Prüfungen konnten nicht abgeschlossen werden: {why}",
		},
		"{n} ordered medications could not be identified: they were not checked": {
			plural.One:   "1 verordnetes Arzneimittel konnte nicht erkannt werden: es wurde nicht geprüft",
			plural.Other: "{n} verordnete Arzneimittel konnten nicht erkannt werden: sie wurden nicht geprüft",
		},
		"{n} ordered medications are known only in part: the rest of them was not checked": {
			plural.One:   "1 verordnetes Arzneimittel ist nur zum Teil bekannt: der Rest wurde nicht geprüft",
			plural.Other: "{n} verordnete Arzneimittel sind nur zum Teil bekannt: der Rest wurde nicht geprüft",
		},
		"{list} and {n} more": {
			plural.One:   "{list} und 1 weiteres",
			plural.Other: "{list} und {n} weitere",
		},
		"and {n} more": {
			plural.One:   "und 1 weiteres",
			plural.Other: "und {n} weitere",
		},
		"{n} more cards do not fit into this answer": {
			plural.One:   "1 weiterer Hinweis passt nicht in diese Antwort",
			plural.Other: "{n} weitere Hinweise passen nicht in diese Antwort",
		},
		"{n} safety checks were not done": {
			plural.One:   "1 Sicherheitsprüfung wurde nicht durchgeführt",
			plural.Other: "{n} Sicherheitsprüfungen wurden nicht durchgeführt",
		},
	},
}

// CoreCount is [CoreText] for a text about n things: one and many are the English
// texts. The form for n is chosen by the plural rules of the language.
func CoreCount(lang string, n int, one, many string, with ...string) string {
	form := plural.Cardinal.MatchPlural(language.Make(lang), n, 0, 0, 0, 0)
	text := many
	if forms := coreCounts[lang][many]; forms != nil {
		text = cmp.Or(forms[form], forms[plural.Other])
	} else if n == 1 {
		text = one
	}
	return CoreText("en", text, append(with, "n", strconv.Itoa(n))...)
}

// CoreText returns the core's own wording of an English text in a language, its
// {names} replaced by the values that follow as name, value pairs.
func CoreText(language, english string, with ...string) string {
	text := english
	if t, ok := coreTexts[language][english]; ok {
		text = t
	}
	for i := 0; i+1 < len(with); i += 2 {
		text = strings.ReplaceAll(text, "{"+with[i]+"}", with[i+1])
	}
	return text
}

var reasonTexts = map[fact.Code]string{
	fact.NotSupplied:           "{what} not supplied by the EHR",
	fact.FetchFailed:           "{what} could not be fetched",
	fact.PartialResult:         "only part of {what} was supplied",
	fact.Suppressed:            "part of {what} was withheld",
	fact.NoData:                "no {what} on record",
	fact.Stale:                 "last {what} is too old",
	fact.WrongStatus:           "{what} only in a status that does not count",
	fact.TextOnly:              "{what} given in words only",
	fact.UnknownCode:           "{what} without a code that this check knows",
	fact.UnitUnconvertible:     "{what} in a unit that cannot be converted",
	fact.UnparseableDose:       "dose of {what} cannot be read",
	fact.UnresolvedReference:   "{what} could not be resolved",
	fact.Ambiguous:             "{what} is contradictory",
	fact.Implausible:           "{what} is implausible",
	fact.PrecisionInsufficient: "{what} is not precise enough",
	fact.Masked:                "{what} is masked",
	fact.NotThisPatient:        "{what} not shown to be this patient's",
	fact.NotUnderstood:         "{what} with content that is not understood here",
	fact.NotApplicable:         "{what} does not apply to this patient",
	fact.SupplyEnded:           "{what}: what was supplied is used up",
	fact.ValueAbsent:           "{what} was reported without a value",
}

// remedyTexts say for each reason what would mend it.
var remedyTexts = map[fact.Code]string{
	fact.NotSupplied:           "Have the EHR send {what} with the call.",
	fact.FetchFailed:           "Have the error looked into with which the EHR answered for {what}.",
	fact.PartialResult:         "Have the EHR send all of {what}, not only its first page.",
	fact.Suppressed:            "Look up {what} in the EHR: part of it is not sent here.",
	fact.NoData:                "Record or obtain {what}.",
	fact.Stale:                 "Obtain a newer {what}.",
	fact.WrongStatus:           "Confirm, complete or remove {what} in the chart.",
	fact.TextOnly:              "Enter {what} with a code.",
	fact.UnknownCode:           "Enter {what} with a code of a system that this check knows, or have its code mapped.",
	fact.UnitUnconvertible:     "Have {what} reported in a UCUM unit of the same kind.",
	fact.UnparseableDose:       "Enter the dose of {what} as number, unit and frequency.",
	fact.UnresolvedReference:   "Have the EHR send what {what} refers to, or have its code added to the terminology.",
	fact.Ambiguous:             "Settle in the chart what contradicts itself about {what}.",
	fact.Implausible:           "Check {what} for a slip of the number, the unit or the date.",
	fact.PrecisionInsufficient: "Record {what} more precisely.",
	fact.Masked:                "Ask somebody who may see {what}.",
	fact.NotApplicable:         "Judge {what} by other means: the method does not hold for this patient.",
	fact.SupplyEnded:           "Ask whether {what} is still taken, and renew or end it in the chart.",
	fact.ValueAbsent:           "Repeat {what}, or have its value sent.",
	"not-this-patient":         "Have the EHR name this patient as the subject of {what}.",
	"not-understood":           "Read {what} in the EHR: it says something that changes its meaning.",
}

// RemedyText says in a sentence what would mend a reason.
func RemedyText(language string, r fact.Reason) string {
	return CoreText(language, remedyTexts[r.Code], "what", CoreText(language, r.What))
}

// ReasonText says a reason in words.
func ReasonText(language string, r fact.Reason) string {
	what := CoreText(language, r.What)
	if of, ok := strings.CutPrefix(r.What, "date of "); ok && what == r.What {
		what = CoreText(language, "date of {what}", "what", CoreText(language, of))
	}
	return CoreText(language, reasonTexts[r.Code], "what", what)
}
